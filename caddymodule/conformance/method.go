package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portalgate/portalgate/internal/factor"
	"github.com/portalgate/portalgate/internal/portal"
)

// Person has what a method asks for: an app, a device, a mailbox, a sheet of paper.
type Person interface {
	// Answer answers a question rightly, that of a set-up included. What a set-up has shown, the person remembers.
	Answer(t testing.TB, s factor.Scene, c factor.Challenge) string
	// Wrong is an answer of the right form that is not right.
	Wrong(t testing.TB, s factor.Scene, c factor.Challenge) string
}

// MethodOptions are a kind of second proof under test.
type MethodOptions struct {
	// New makes the method, and a person who has set up nothing yet. Two persons know nothing of each other.
	New func(t *testing.T) (factor.Method, Person)
	// Contact is what somebody types to set it up, where a method wants something.
	Contact string
	// Unchecked: there is nothing to type to set it up.
	Unchecked bool
}

// Method is the suite for whatever is a second proof. It stands where a flow stands: it keeps states, replaces one only
// where nobody else has, and moves the clock.
func Method(t *testing.T, o MethodOptions) {
	for name, test := range map[string]func(*testing.T, MethodOptions){
		"a right answer works once":                                 rightOnce,
		"a wrong answer never works":                                wrongNever,
		"what is no answer is none":                                 noAnswer,
		"an old state is refused":                                   oldState,
		"an enrolment counts only after a check":                    enrolment,
		"an answer is good for one person, tenant and purpose only": bound,
		"fifty posts of one answer open one door":                   fifty,
		"a state that is damaged opens nothing":                     damaged,
		"nothing that was handed over is changed":                   untouched,
		"what may be shown holds no secret":                         shown,
		"its traits say what a page and a flow must know":           traits,
	} {
		t.Run(name, func(t *testing.T) { test(t, o) })
	}
}

// member is somebody with a factor, which is kept as a flow keeps it.
type member struct {
	method factor.Method
	person Person
	scene  factor.Scene
	setUp  factor.Challenge // the question of the set-up
	first  string           // and its answer

	mu      sync.Mutex
	version int
	held    factor.Held
}

// newcomer is somebody who has set up nothing yet.
func newcomer(t *testing.T, o MethodOptions, name string) *member {
	t.Helper()
	m := &member{scene: factor.Scene{Tenant: "0197f3c2-0000-7000-8000-000000000001", Portal: "Acme Portal", Origin: "https://acme.portal.test:8443", Host: "acme.portal.test",
		User: portal.UserID("the row of " + name), Email: name + "@buyer.example", Name: name, Contact: o.Contact, Purpose: factor.PurposeEnrol,
		Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}}
	m.method, m.person = o.New(t)
	return m
}

// enrolled is somebody who has a factor, and stands at the second step of a sign-in a minute later.
func enrolled(t *testing.T, o MethodOptions, name string) *member {
	t.Helper()
	m := newcomer(t, o, name)
	m.begin(t)
	m.finish(t)
	return m
}

func (m *member) begin(t *testing.T) {
	t.Helper()
	c, err := m.method.Setup(t.Context(), m.scene, nil, nil)
	if err != nil {
		t.Fatalf("setting it up: %v", err)
	}
	if c.State == nil || c.Tries < 1 || c.Life <= 0 {
		t.Errorf("a set-up with the state %q, %d tries and a life of %s", c.State, c.Tries, c.Life)
	}
	m.setUp, m.first = c, m.person.Answer(t, m.scene, c)
}

func (m *member) finish(t *testing.T) {
	t.Helper()
	e, err := m.method.Confirm(t.Context(), m.scene, m.setUp.State, m.first)
	if err != nil {
		t.Fatalf("confirming it: %v", err)
	}
	if e.Name == "" || len(e.State) == 0 {
		t.Errorf("enrolled as %+v", e)
	}
	m.held = factor.Held{ID: portal.FactorID("the factor of " + m.scene.Name), State: e.State, Facts: e.Facts}
	m.later(time.Minute)
	m.scene.Purpose = factor.PurposeSignIn
}

func (m *member) later(d time.Duration) { m.scene.Now = m.scene.Now.Add(d) }

// ask asks, and has the right answer.
func (m *member) ask(t *testing.T) (factor.Challenge, string) {
	t.Helper()
	c, err := m.method.Ask(t.Context(), m.scene, []factor.Held{m.held}, nil)
	if err != nil {
		t.Fatalf("asking: %v", err)
	}
	if c.Tries < 1 || c.Life <= 0 {
		t.Errorf("a question with %d tries and a life of %s", c.Tries, c.Life)
	}
	return c, m.person.Answer(t, m.scene, c)
}

// post judges an answer, and keeps the new state where nobody has meanwhile: as two gateways do with one database.
func (m *member) post(t *testing.T, c factor.Challenge, answer string) (opened bool, err error) {
	m.mu.Lock()
	held, version := m.held, m.version
	m.mu.Unlock()
	got, err := m.method.Check(t.Context(), m.scene, []factor.Held{held}, c.State, answer)
	if err != nil {
		return false, err
	}
	if got.ID != held.ID || len(got.State) == 0 || got.Alarm != "" {
		t.Errorf("the answer is right, and what comes of it is %+v", got)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if version != m.version {
		return false, nil
	}
	m.version++
	m.held.State, m.held.Facts = got.State, got.Facts
	return true, nil
}

// refused fails where an answer opens, or is refused by a fault of ours.
func (m *member) refused(t *testing.T, c factor.Challenge, answer, what string) {
	t.Helper()
	before := m.held
	opened, err := m.post(t, c, answer)
	if opened || !said(err) {
		t.Errorf("%s: opened is %t, %v", what, opened, err)
	}
	m.held = before
}

// said says whether an error is one that a page has words for.
func said(err error) bool {
	return errors.Is(err, factor.ErrWrong) || errors.Is(err, factor.ErrUsed) || errors.Is(err, factor.ErrInput)
}

func rightOnce(t *testing.T, o MethodOptions) {
	m := enrolled(t, o, "ann")
	for _, p := range []factor.Purpose{factor.PurposeSignIn, factor.PurposeStepUp, factor.PurposeSignIn} {
		m.scene.Purpose = p
		c, answer := m.ask(t)
		if opened, err := m.post(t, c, answer); !opened {
			t.Fatalf("the right answer, %s: %v", p, err)
		}
		m.refused(t, c, answer, "the same answer again")
		for _, other := range []factor.Purpose{factor.PurposeSignIn, factor.PurposeStepUp} {
			m.scene.Purpose = other
			m.refused(t, c, answer, "the same answer for "+string(other))
		}
		m.later(time.Minute)
	}
}

func wrongNever(t *testing.T, o MethodOptions) {
	m := enrolled(t, o, "ann")
	c, answer := m.ask(t)
	for range 3 {
		wrong := m.person.Wrong(t, m.scene, c)
		if _, err := m.method.Check(t.Context(), m.scene, []factor.Held{m.held}, c.State, wrong); !errors.Is(err, factor.ErrWrong) {
			t.Errorf("the wrong answer %q: %v", wrong, err)
		}
	}
	if got, err := m.method.Check(t.Context(), m.scene, nil, c.State, answer); err == nil {
		t.Errorf("somebody who has nothing: %+v", got)
	}
	if opened, err := m.post(t, c, answer); !opened {
		t.Errorf("the right answer after wrong ones: %v", err)
	}
}

func noAnswer(t *testing.T, o MethodOptions) {
	m := enrolled(t, o, "ann")
	c, answer := m.ask(t)
	for _, none := range []string{"", " ", "-", "\x00", "0", "12345", "1234567", "abcdef", "null", "[]", "{}", `{"id":"","rawId":"","type":"public-key","response":{}}`, `[["123456"]]`,
		"123456; --", strings.Repeat("1", 1<<20), strings.Repeat("{", 1<<16), "\xff\xfe\xfd", answer + answer, answer[:len(answer)-1]} {
		if _, err := m.method.Check(t.Context(), m.scene, []factor.Held{m.held}, c.State, none); !errors.Is(err, factor.ErrInput) && !errors.Is(err, factor.ErrWrong) {
			t.Errorf("%.40q: %v", none, err)
		}
		if _, err := m.method.Confirm(t.Context(), newcomer(t, o, "ann").scene, m.setUp.State, none); !o.Unchecked && !errors.Is(err, factor.ErrInput) && !errors.Is(err, factor.ErrWrong) {
			t.Errorf("%.40q confirms: %v", none, err)
		}
	}
	if opened, err := m.post(t, c, answer); !opened {
		t.Errorf("the right answer after them: %v", err)
	}
}

func oldState(t *testing.T, o MethodOptions) {
	m := enrolled(t, o, "ann")
	c1, first := m.ask(t)
	old := m.held
	if opened, err := m.post(t, c1, first); !opened {
		t.Fatalf("the first answer: %v", err)
	}
	m.later(30 * time.Second)
	c2, second := m.ask(t)
	if opened, err := m.post(t, c2, second); !opened {
		t.Fatalf("the second answer: %v", err)
	}
	m.refused(t, c1, first, "the answer before the last")
	m.refused(t, c2, second, "the last answer")
	// Judged against what stood there before, the answer is right, and its new state finds another in its place.
	got, err := m.method.Check(t.Context(), m.scene, []factor.Held{old}, c2.State, second)
	if err != nil || bytes.Equal(got.State, old.State) || bytes.Equal(m.held.State, old.State) {
		t.Errorf("an answer changes nothing that a second one could be told by: %v", err)
	}
}

func enrolment(t *testing.T, o MethodOptions) {
	m := newcomer(t, o, "ann")
	m.begin(t)
	if !o.Unchecked {
		if e, err := m.method.Confirm(t.Context(), m.scene, m.setUp.State, m.person.Wrong(t, m.scene, m.setUp)); !errors.Is(err, factor.ErrWrong) || len(e.State) != 0 {
			t.Errorf("a wrong answer gives %+v, %v", e, err)
		}
	}
	again, err := m.method.Setup(t.Context(), m.scene, nil, m.setUp.State)
	if err != nil {
		t.Fatalf("the same page again: %v", err)
	}
	if m.setUp.Letter != nil {
		if _, err := m.method.Confirm(t.Context(), m.scene, again.State, m.first); !errors.Is(err, factor.ErrWrong) {
			t.Errorf("the code before the last confirms: %v", err)
		}
	}
	m.setUp, m.first = again, m.person.Answer(t, m.scene, again)
	m.finish(t)
	m.scene.Now = m.scene.Now.Add(-time.Minute) // the moment of the enrolment, in which its answer is still one
	m.refused(t, m.setUp, m.first, "the answer of the enrolment")
	m.later(time.Minute)
	c, answer := m.ask(t)
	if opened, err := m.post(t, c, answer); !opened {
		t.Errorf("what was confirmed: %v", err)
	}
}

func bound(t *testing.T, o MethodOptions) {
	ann, bob := enrolled(t, o, "ann"), enrolled(t, o, "bob")
	c, answer := ann.ask(t)
	theirs, _ := bob.ask(t)
	bob.refused(t, c, answer, "another's question and answer")
	bob.refused(t, theirs, answer, "another's answer")
	here := ann.scene
	if c.State != nil {
		for _, p := range []factor.Purpose{factor.PurposeStepUp, factor.PurposeEnter, factor.PurposeProve, factor.PurposeEnrol, ""} {
			ann.scene.Purpose = p
			ann.refused(t, c, answer, "asked to sign in, answered for "+string(p))
		}
		ann.scene = here
		ann.scene.User = bob.scene.User
		ann.refused(t, c, answer, "asked of another row")
		ann.scene = here
		ann.later(c.Life)
		ann.refused(t, c, answer, "answered too late")
		ann.scene = here
	}
	if c.State != nil || o.Unchecked {
		ann.scene.Tenant, ann.scene.Host, ann.scene.Origin = "0197f3c2-0000-7000-8000-000000000002", "globex.portal.test", "https://globex.portal.test:8443"
		ann.refused(t, c, answer, "in another tenant")
		ann.scene = here
	}
	if opened, err := ann.post(t, c, answer); !opened {
		t.Errorf("where it was asked: %v", err)
	}
}

func fifty(t *testing.T, o MethodOptions) { // TOTP-02, BKP-02
	m := enrolled(t, o, "ann")
	c, answer := m.ask(t)
	var all sync.WaitGroup
	var mu sync.Mutex
	start, doors := make(chan struct{}), 0
	for range 50 {
		all.Go(func() {
			<-start
			opened, err := m.post(t, c, answer)
			if err != nil && !said(err) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if opened {
				doors++
			}
		})
	}
	close(start)
	all.Wait()
	if doors != 1 {
		t.Errorf("%d of 50 posts opened", doors)
	}
	m.refused(t, c, answer, "the fifty-first")
}

func damaged(t *testing.T, o MethodOptions) {
	m := enrolled(t, o, "ann")
	c, answer := m.ask(t)
	for _, state := range []string{"", "null", "{}", "[]", "0", `"x"`, string(m.held.State[:len(m.held.State)/2])} {
		held := factor.Held{ID: m.held.ID, State: []byte(state)}
		if got, err := m.method.Check(t.Context(), m.scene, []factor.Held{held}, c.State, answer); err == nil {
			t.Errorf("with the state %q: %+v", state, got)
		}
		if c.State != nil {
			if got, err := m.method.Check(t.Context(), m.scene, []factor.Held{m.held}, []byte(state), answer); err == nil {
				t.Errorf("with the question %q: %+v", state, got)
			}
		}
		if got, err := m.method.Confirm(t.Context(), m.scene, []byte(state), m.first); err == nil {
			t.Errorf("confirmed with the state %q: %+v", state, got)
		}
	}
}

func untouched(t *testing.T, o MethodOptions) {
	m := enrolled(t, o, "ann")
	c, answer := m.ask(t)
	state, question, facts := bytes.Clone(m.held.State), bytes.Clone(c.State), fmt.Sprint(m.held.Facts)
	have := []factor.Held{m.held}
	for range 2 { // and so two that judge at once see the same
		if _, err := m.method.Check(t.Context(), m.scene, have, c.State, answer); err != nil {
			t.Error(err)
		}
	}
	if !bytes.Equal(state, have[0].State) || !bytes.Equal(question, c.State) || facts != fmt.Sprint(have[0].Facts) {
		t.Error("an answer has changed what it was judged against")
	}
}

func shown(t *testing.T, o MethodOptions) {
	m := enrolled(t, o, "ann")
	c, answer := m.ask(t)
	if opened, err := m.post(t, c, answer); !opened {
		t.Fatal(err)
	}
	facts, err := json.Marshal(m.held.Facts)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(facts), c.To, m.setUp.To} {
		if strings.Contains(text, answer) || strings.Contains(text, m.scene.Email) || o.Contact != "" && strings.Contains(text, o.Contact) {
			t.Errorf("%s may be shown to whoever has the password", text)
		}
	}
	if l := c.Letter; l != nil && (bytes.Contains(c.State, []byte(l.Code)) || bytes.Contains(m.held.State, []byte(`"`+l.Code+`"`))) {
		t.Error("a code is kept as it is") // OOB-04
	}
}

func traits(t *testing.T, o MethodOptions) {
	m, _ := o.New(t)
	is := m.Traits()
	if m.Kind() == "" || is.Title == "" || is.Hint == "" || is.AMR == "" || is.Strength <= 0 || !strings.HasSuffix(is.Hint, ".") {
		t.Errorf("%s: %+v", m.Kind(), is)
	}
	if o.Unchecked && is.Alone {
		t.Error("something that is never checked may be somebody's only second step")
	}
	// The words that stand on no page (ux, words for people).
	for _, word := range []string{"MFA", "TOTP", "token", "factor", "challenge", "tenant", "invalid"} {
		if slices.ContainsFunc([]string{is.Title, is.Hint}, func(s string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(word)) }) {
			t.Errorf("%q stands on a page: %+v", word, is)
		}
	}
}
