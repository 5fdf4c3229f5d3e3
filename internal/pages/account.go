package pages

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/whereabouts"
)

func (s *Site) account(w http.ResponseWriter, r *http.Request, v visitor) error {
	live, err := s.Auth.Live(r.Context(), v.Tenant, v.Client, v.facts.Session)
	if err != nil {
		return err
	}
	latest, err := s.Auth.Activity(r.Context(), v.Tenant, v.Client, v.facts.Session, 1, v.Client.At.Add(time.Minute))
	if err != nil {
		return err
	}
	changed, err := s.Auth.PasswordChanged(r.Context(), v.Tenant, v.Client, v.facts.Session)
	if err != nil {
		return err
	}
	u := v.facts.User
	data := struct {
		Name, Email, Company string
		Sessions             int
		CanChoose            bool
		Last                 *activityRow
		Changed              *moment // the password; nil: nobody knows when
		Steps                stepsCard
	}{Name: u.Name(), Email: u.Email, Sessions: len(live), CanChoose: len(v.facts.Session.Choices) > 1}
	if !u.OwnCompany {
		data.Company = u.CustomerName
	}
	if !changed.IsZero() {
		at := since(changed, v.Client.At)
		data.Changed = &at
	}
	if len(latest) > 0 {
		row := told(latest[0], v.Client.At)
		data.Last = &row
	}
	steps, err := s.Auth.Steps(r.Context(), v.Tenant, v.Client, auth.Holder{Session: &v.facts.Session, Origin: v.Origin})
	if err != nil {
		return err
	}
	data.Steps = cardOf(steps)
	return s.render(w, r, v.Visit, http.StatusOK, "account", view{Title: "Your account", Wide: true, SignedIn: true, Notice: done(r), Data: data})
}

// stepsCard is what the overview says about second steps.
type stepsCard struct {
	Have    string // "Authenticator app and 2 passkeys"; empty: none
	Codes   int    // -1: there are none
	Trusted int
	Shown   bool
}

func cardOf(st auth.Steps) stepsCard {
	var have []string
	n := map[portal.FactorKind]int{}
	for _, f := range st.Have {
		n[f.Kind]++
	}
	for _, k := range []portal.FactorKind{portal.FactorTOTP, portal.FactorWebAuthn, portal.FactorSMS, portal.FactorEmail} {
		switch {
		case n[k] == 1:
			have = append(have, kindWords[k][0])
		case n[k] > 1:
			have = append(have, fmt.Sprint(n[k], " ", kindWords[k][1]))
		}
	}
	return stepsCard{Have: capital(listed(have)), Codes: st.Codes, Trusted: st.Trusted, Shown: !st.Off || len(st.Have) > 0}
}

// done is the sentence about what the form before this page did.
func done(r *http.Request) string {
	switch r.URL.Query().Get("done") {
	case "password":
		return "Your new password is saved. On every other device you have been signed out."
	case "device":
		return "That device is signed out."
	case "others":
		return "You are signed out everywhere else."
	case "step-added":
		return "Your second step is set up."
	case "step-removed":
		return "It is removed. On every other device you have been signed out."
	case "step-renamed":
		return "The new name is saved."
	case "asked-again":
		return "Every device is asked for the second step again."
	case "erase":
		return "You have asked for your data to be erased."
	case "keep":
		return "Your data is kept, and your account stays as it is."
	case "address":
		return "Your new e-mail address is confirmed. Sign in with it from now on."
	}
	return ""
}

type sessionRow struct {
	ID, Device, Address, How string
	Current                  bool
	Since, Active            moment
}

// ways are the methods of a sign-in as people call them.
var ways = map[portal.AMR]string{portal.AMRPassword: "a password", portal.AMROTP: "an authenticator app", portal.AMRWebAuthn: "a passkey",
	portal.AMREmail: "a code by e-mail", portal.AMRSMS: "a code by text message", portal.AMRBackup: "a backup code"}

// how says with what somebody has signed in.
func how(amr []portal.AMR) string {
	var with []string
	for _, m := range amr {
		if ways[m] != "" {
			with = append(with, ways[m])
		}
	}
	if len(with) == 0 {
		return ""
	}
	return "with " + listed(with)
}

// listed joins words as a sentence does.
func listed(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

func (s *Site) sessions(w http.ResponseWriter, r *http.Request, v visitor) error {
	live, err := s.Auth.Live(r.Context(), v.Tenant, v.Client, v.facts.Session)
	if err != nil {
		return err
	}
	if end := only(r.URL.Query(), "end"); end != "" {
		if asked, ok := endAgain(live, end); ok {
			return s.askForm(w, r, v.Visit, http.StatusOK, asked, true, nil)
		}
	}
	rows := make([]sessionRow, len(live))
	for i, x := range live {
		rows[i] = sessionRow{ID: string(x.ID), Device: whereabouts.Device(x.Agent), Current: x.ID == v.facts.Session.ID, Since: when(x.CreatedAt, v.Client.At), Active: when(x.LastActive, v.Client.At)}
		if x.Address.IsValid() {
			rows[i].Address = x.Address.String()
		}
		rows[i].How = how(x.AMR)
	}
	return s.render(w, r, v.Visit, http.StatusOK, "sessions", view{Title: "Your devices", Wide: true, SignedIn: true, Notice: done(r), Data: struct{ Sessions []sessionRow }{rows}})
}

// endAgain asks anew for what was to be signed out when its person had to show first that it is them.
func endAgain(live []portal.Session, end string) (askData, bool) {
	d := askData{Page: "/account/sessions", Action: "revoke", ID: end, Back: "/account/sessions"}
	if end == "others" {
		d.Title, d.Words, d.Action, d.ID = "Sign out everywhere else", "Every other device has to sign in again. You stay signed in here.", "revoke_others", ""
		d.Button = d.Title
		return d, true
	}
	if end == "all" {
		d.Title, d.Words, d.Action, d.ID = "Sign out everywhere", "Every device has to sign in again, this one too.", "revoke_all", ""
		d.Button = d.Title
		return d, true
	}
	i := slices.IndexFunc(live, func(x portal.Session) bool { return string(x.ID) == end })
	if i < 0 {
		return d, false
	}
	d.Title, d.Words = "Sign out "+whereabouts.Device(live[i].Agent), "Whoever uses it has to sign in again there."
	d.Button = d.Title
	return d, true
}

func (s *Site) endSessions(w http.ResponseWriter, r *http.Request, v visitor) error {
	f, err := read(w, r)
	if err != nil {
		return err
	}
	here := s.Prefix + "/account/sessions?done=device"
	switch f["action"] {
	case "revoke":
		id, err := portal.ParseID[portal.SessionID](f["id"])
		if err != nil {
			return &portal.Problem{Kind: portal.ProblemNotFound, Public: "This device is not signed in any more."}
		}
		if err := s.Auth.EndSession(r.Context(), v.Tenant, v.Client, v.facts.Session, id); err != nil {
			return after(err, s.Prefix+"/account/sessions?end="+string(id))
		}
		if id == v.facts.Session.ID {
			w.Header().Del("Set-Cookie")
			s.leave(w, v.Visit)
			here = s.Prefix + "/signed-out"
		}
	case "revoke_others":
		if _, err := s.Auth.EndOthers(r.Context(), v.Tenant, v.Client, v.facts.Session); err != nil {
			return after(err, s.Prefix+"/account/sessions?end=others")
		}
		here = s.Prefix + "/account/sessions?done=others"
	case "revoke_all":
		if err := s.Auth.EndAll(r.Context(), v.Tenant, v.Client, v.Cookies, v.facts.Session); err != nil {
			return after(err, s.Prefix+"/account/sessions?end=all")
		}
		w.Header().Del("Set-Cookie")
		s.leave(w, v.Visit)
		here = s.Prefix + "/signed-out?all=1"
	default:
		return &portal.Problem{Kind: portal.ProblemInput, Field: "action", Public: "Choose what to sign out."}
	}
	see(w, r, here)
	return nil
}

// verbWords are the facts of the trail as people call them.
var verbWords = map[portal.Verb]string{
	portal.VerbLogin: "Signed in", portal.VerbLoginFailed: "Sign-in refused", portal.VerbLogout: "Signed out",
	portal.VerbAccountLocked: "Sign-in paused after several wrong passwords", portal.VerbPasswordChange: "Password changed",
	portal.VerbPasswordReset: "Password set anew", portal.VerbResetAsked: "A link to a new password was asked for", portal.VerbProfileUpdate: "Details changed", portal.VerbSessionRevoked: "A device was signed out",
	portal.VerbSessionsRevoked: "Other devices were signed out", portal.VerbTokenReuse: "A copied sign-in was used and stopped",
	portal.VerbCompanyChosen: "Company chosen", portal.VerbEmailVerified: "E-mail address confirmed", portal.VerbRegistered: "Account created",
	portal.VerbAddressAsked: "Another e-mail address asked for", portal.VerbAddressUndone: "A change of the e-mail address was taken back",
	portal.VerbDisowned: "Somebody was signed out with “this wasn’t me”", portal.VerbTriedNow: "A browser was let in to try at once",
	portal.VerbRecoveryStopped: "A recovery by the help desk was stopped", portal.VerbRecoveryAgreed: "A recovery by the help desk was confirmed",
	portal.VerbFactorAdded: "A second step was added", portal.VerbFactorRemoved: "A second step was removed", portal.VerbFactorRenamed: "A second step got another name",
	portal.VerbCodesRenewed: "Backup codes were made anew", portal.VerbSecondStep: "A second step was shown again", portal.VerbSecondFailed: "A second step was refused",
	portal.VerbFactorAlarm: "A passkey that seems to be copied was refused", portal.VerbMailboxProved: "The mailbox was proved with a code",
	portal.VerbExported: "Your data was downloaded", portal.VerbErasureAsked: "Erasure of your data was asked for", portal.VerbErasureTakenBack: "The wish for erasure was taken back",
	portal.VerbRecovered: "The help desk opened the account anew, with another address",
}

type activityRow struct {
	What, Device, Address string
	At                    moment
	Suspicious            bool
}

// told is a fact of the trail in plain words.
func told(a portal.Activity, now time.Time) activityRow {
	row := activityRow{What: verbWords[a.Verb], At: when(a.At, now), Suspicious: a.Suspicious}
	switch {
	case a.Verb == portal.VerbProfileUpdate && a.Facts["changed"] == "email":
		row.What = "E-mail address changed"
	case a.Verb == portal.VerbLoginFailed && a.Result == "refused":
		row.What = "Wrong password"
	case a.Verb == portal.VerbCompanyChosen && a.Facts["name"] != "":
		row.What += ": " + a.Facts["name"]
	case a.Verb == portal.VerbLogin && slices.Contains(strings.Split(a.Facts["methods"], ","), string(portal.AMRBackup)):
		row.What = "Signed in with a backup code"
	case row.What == "":
		row.What = "Something else happened"
	}
	if a.Agent != "" {
		row.Device = whereabouts.Device(a.Agent)
	}
	if a.Addr.IsValid() {
		row.Address = a.Addr.String()
	}
	return row
}

// signIns are the facts about coming and going; everything else is a change.
var signIns = map[portal.Verb]bool{portal.VerbLogin: true, portal.VerbLoginFailed: true, portal.VerbLogout: true, portal.VerbAccountLocked: true, portal.VerbTokenReuse: true,
	portal.VerbSecondStep: true, portal.VerbSecondFailed: true, portal.VerbFactorAlarm: true}

// wanted reads the filter of the activity page.
func wanted(show string) func(portal.Activity) bool {
	switch show {
	case "sign-ins":
		return func(a portal.Activity) bool { return signIns[a.Verb] }
	case "changes":
		return func(a portal.Activity) bool { return !signIns[a.Verb] }
	}
	return nil
}

func (s *Site) trail(r *http.Request, v visitor, limit int) ([]portal.Activity, error) {
	before := v.Client.At.Add(time.Minute)
	if raw := r.URL.Query().Get("before"); raw != "" {
		t, err := time.Parse(time.RFC3339Nano, raw)
		if err != nil {
			return nil, &portal.Problem{Kind: portal.ProblemRequest, Public: "This address is not complete. Go back to your activity."}
		}
		before = t
	}
	return s.Auth.Activity(r.Context(), v.Tenant, v.Client, v.facts.Session, limit, before)
}

func (s *Site) activity(w http.ResponseWriter, r *http.Request, v visitor) error {
	const perPage, perLook = 30, 120
	data := struct {
		Rows        []activityRow
		Older, Show string
	}{Show: r.URL.Query().Get("show")}
	like := wanted(data.Show)
	if like == nil {
		data.Show, like = "", func(portal.Activity) bool { return true }
	}
	// One look is enough for a page unless what is wanted is rare; then the rest stands behind "Older activity".
	list, err := s.trail(r, v, perLook)
	if err != nil {
		return err
	}
	for i, a := range list {
		if like(a) {
			data.Rows = append(data.Rows, told(a, v.Client.At))
		}
		if len(data.Rows) == perPage && i < len(list)-1 || i == perLook-1 {
			data.Older = a.At.UTC().Format(time.RFC3339Nano)
			break
		}
	}
	return s.render(w, r, v.Visit, http.StatusOK, "activity", view{Title: "Recent activity", Wide: true, SignedIn: true, Data: data})
}

type companyRow struct {
	ID, Name, Role string
	Current        bool
}

func (s *Site) companies(w http.ResponseWriter, r *http.Request, v visitor) error {
	to := "/"
	if q := r.URL.Query()["return_to"]; len(q) == 1 {
		to = s.returnTo(q[0])
	}
	return s.companyForm(w, r, v, http.StatusOK, to, nil)
}

func (s *Site) companyForm(w http.ResponseWriter, r *http.Request, v visitor, status int, to string, problems []problem) error {
	list, err := s.Auth.Companies(r.Context(), v.Tenant, v.Client, v.facts.Session)
	if err != nil {
		return err
	}
	data := struct {
		Companies []companyRow
		ReturnTo  string
	}{ReturnTo: to}
	for _, u := range list {
		name := u.CustomerName
		if u.OwnCompany {
			name = v.Tenant.Name
		}
		data.Companies = append(data.Companies, companyRow{string(u.ID), name, roleWords[u.Role], u.ID == v.facts.Session.User})
	}
	return s.render(w, r, v.Visit, status, "company", view{Title: "Which company are you here for?", Wide: true, SignedIn: true, Problems: problems, Data: data})
}

func (s *Site) chooseCompany(w http.ResponseWriter, r *http.Request, v visitor) error {
	f, err := read(w, r)
	if err != nil {
		return err
	}
	to := s.returnTo(f["return_to"])
	id, err := portal.ParseID[portal.UserID](f["id"])
	if err != nil {
		err = &portal.Problem{Kind: portal.ProblemInput, Public: "Choose one of the companies in the list."}
	} else {
		var g, gerr = s.Auth.ChooseCompany(r.Context(), v.Tenant, v.Client, v.Cookies, v.facts.Session, id)
		if err = gerr; err == nil {
			w.Header().Del("Set-Cookie")
			v.Jar.Give(w.Header(), g, v.Client.At)
			see(w, r, to)
			return nil
		}
	}
	return s.refused(w, r, v.Visit, err, func(status int, p *portal.Problem) error {
		return s.companyForm(w, r, v, status, to, lines(p))
	})
}
