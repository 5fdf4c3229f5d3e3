package mail

import (
	"errors"
	"fmt"
	html "html/template"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/template"
	"time"

	"golang.org/x/text/language"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/web"
)

// Press prints letters: it makes of what is to be said to whom a mail in that person's language, with the tenant's name
// and colour. It may be used by many goroutines.
type Press struct {
	html       *html.Template
	text       *template.Template
	catalogues []*catalogue // English is the first
	pseudo     *catalogue
	matcher    language.Matcher
}

// Note is what the press needs to print one letter. It holds secrets in its links and its code, and prints as nothing
// but its kind.
type Note struct {
	Kind     portal.LetterKind
	Language string // of the person, as de-AT; where there is no such catalogue the tenant's is taken, then English
	Tenant   portal.Tenant
	Origin   string // of every link, as https://portal.example; only localhost may do without TLS
	Name     string // of the person; shown only if it looks like a name
	To       portal.Email
	Link     string            // path and query of what the mail is for; made by us, never by a request
	NotMe    string            // path and query of "this wasn't me"
	Valid    time.Duration     // how long Link holds, or the code, or NotMe where there is neither
	At       time.Time         // of the deed
	Zone     string            // IANA name of the time zone in which moments are said; empty or unknown: UTC
	Facts    map[string]string // device, place, address, email, account (its address), company, count, until (RFC 3339), what (a name in the catalogue's section what, or words)
	Code     string            // for LetterCode, LetterTextCode and no other
}

// Format prints the kind alone, whatever is asked for.
func (n Note) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "[note: %s]", n.Kind) }

// BuiltIn is the press of what is built in, read once: it is the same in every configuration.
var BuiltIn = sync.OnceValues(func() (*Press, error) { return NewPress(nil) })

// NewPress reads the catalogues and layouts that are built in. Files of overlay, where it is not nil, take their place:
// layout.html and layout.txt whole, en.json and other languages text by text; a language that is not built in must be
// whole. Everything that is wrong is said at once, each with file, line and what to do.
func NewPress(overlay fs.FS) (*Press, error) {
	builtIn, err := fs.Sub(web.Files, "mail")
	if err != nil {
		return nil, fmt.Errorf("opening the built-in mails: %w", err)
	}
	p := &Press{}
	if err := p.read(builtIn, overlay); err != nil {
		return nil, err
	}
	tags := []language.Tag{}
	for _, c := range p.catalogues {
		tags = append(tags, c.tag)
	}
	p.matcher = language.NewMatcher(tags)
	p.pseudo = pseudo(p.catalogues[0])
	if overlay == nil {
		return p, nil
	}
	return p, p.proof()
}

func (p *Press) read(builtIn, overlay fs.FS) error {
	files, wrong := overlaid(overlay)
	take := func(file string) []byte {
		if b, ok := files[file]; ok {
			return b
		}
		b, err := fs.ReadFile(builtIn, file)
		if err != nil {
			wrong = append(wrong, err)
		}
		return b
	}
	note := func(err error) bool {
		if err != nil {
			wrong = append(wrong, err)
		}
		return err == nil
	}
	var err error
	for _, file := range []string{layoutHTML, layoutText} {
		note(own(file, take(file)))
	}
	p.html, err = parseHTML(take(layoutHTML))
	note(err)
	p.text, err = parseText(take(layoutText))
	note(err)

	known := []string{"en.json"}
	theirs, err := fs.Glob(builtIn, "*.json")
	note(err)
	for file := range files {
		if path.Ext(file) == ".json" {
			theirs = append(theirs, file)
		}
	}
	slices.Sort(theirs)
	for _, file := range slices.Compact(theirs) {
		if file != "en.json" {
			known = append(known, file)
		}
	}
	var english *catalogue
	for _, file := range known {
		c := (*catalogue)(nil)
		if b, err := fs.ReadFile(builtIn, file); err == nil {
			texts, err := readCatalogue(file, b)
			if note(err) && note(judge(file, texts, english)) {
				c, err = newCatalogue(file, strings.TrimSuffix(file, ".json"), texts, english)
				note(err)
			}
		}
		reference := english
		if reference == nil {
			reference = c
		}
		if b, ok := files[file]; ok && reference != nil {
			texts, err := readCatalogue(file, b)
			if note(err) && note(judge(file, texts, reference)) {
				if c != nil {
					texts = c.over(texts)
				}
				c, err = newCatalogue(file, strings.TrimSuffix(file, ".json"), texts, reference)
				note(err)
			}
		}
		if english == nil {
			english = reference // as built in: what every file is compared with
		}
		p.catalogues = append(p.catalogues, c)
	}
	return errors.Join(wrong...)
}

// maxFile is the largest file that is read from an overlay, in bytes.
const maxFile = 1 << 20

// overlaid reads the files of an overlay. Hidden files are not looked at, nor directories, nor what explains itself.
func overlaid(overlay fs.FS) (files map[string][]byte, wrong []error) {
	if overlay == nil {
		return nil, nil
	}
	entries, err := fs.ReadDir(overlay, ".")
	if err != nil {
		return nil, []error{fmt.Errorf("the directory of mails cannot be read: %w", err)}
	}
	files = map[string][]byte{}
	for _, e := range entries {
		name := e.Name()
		switch {
		case e.IsDir() || strings.HasPrefix(name, ".") || path.Ext(name) == ".md":
			continue
		case name != layoutHTML && name != layoutText && path.Ext(name) != ".json":
			wrong = append(wrong, fmt.Errorf("%s: is no file of mails; there may be %s, %s and a language's file, as de.json", name, layoutHTML, layoutText))
			continue
		}
		if info, err := fs.Stat(overlay, name); err == nil && info.Size() > maxFile {
			wrong = append(wrong, fmt.Errorf("%s: is larger than %d bytes; is it the right file?", name, maxFile))
			continue
		}
		b, err := fs.ReadFile(overlay, name)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: cannot be read: %w", name, err))
			continue
		}
		files[name] = b
	}
	return files, wrong
}

// proof prints every letter once in every language, so that what is wrong with an operator's files is found when they
// are read and not when somebody waits for a mail.
func (p *Press) proof() error {
	for _, c := range p.catalogues {
		for _, r := range rules {
			n := Sample(r.kind)
			n.Language = c.code
			m, err := p.Print(n)
			if err != nil {
				return fmt.Errorf("trying %s in %s: %w", r.kind, c.code, err)
			}
			for _, link := range []string{n.Link, n.NotMe} {
				if link != "" && (!strings.Contains(m.Text, "\n"+n.Origin+link+"\n") || strings.Count(m.HTML, link) < 1) {
					return fmt.Errorf("trying %s in %s: a layout leaves out a link; layout.txt shows .URL and .NotMeURL on lines of their own, layout.html in a button", r.kind, c.code)
				}
			}
			if n.Code != "" && (!strings.Contains(m.Text, n.Code) || !strings.Contains(m.HTML, n.Code)) {
				return fmt.Errorf("trying %s in %s: a layout leaves out the code; both show .Heading", r.kind, c.code)
			}
		}
		n := Sample(textKind.kind)
		n.Language = c.code
		says, err := p.PrintText(n)
		if err != nil {
			return fmt.Errorf("trying %s in %s: %w", n.Kind, c.code, err)
		}
		if first, _, _ := strings.Cut(says, "\n"); !strings.Contains(first, n.Code) {
			return fmt.Errorf("trying %s in %s: its text leaves out the code; put {code} into each", n.Kind, c.code)
		}
	}
	return nil
}

// Languages are the tags of all catalogues, English first, without the pseudo-language.
func (p *Press) Languages() (out []string) {
	for _, c := range p.catalogues {
		out = append(out, c.code)
	}
	return out
}

// Speaks says whether there is a catalogue for a language, or for one that its speakers understand.
func (p *Press) Speaks(language string) bool { return p.find(language) != nil }

// choose is the catalogue for the first language that there is something like.
func (p *Press) choose(wanted ...string) *catalogue {
	for _, w := range wanted {
		if c := p.find(w); c != nil {
			return c
		}
	}
	return p.catalogues[0]
}

func (p *Press) find(wanted string) *catalogue {
	if wanted == PseudoLanguage {
		return p.pseudo
	}
	if wanted == "" || len(wanted) > 35 { // the longest that BCP 47 section 4.4.1 asks anybody to take
		return nil
	}
	tag, err := language.Parse(wanted)
	if err != nil {
		return nil
	}
	_, i, sure := p.matcher.Match(tag)
	if sure == language.No {
		return nil
	}
	return p.catalogues[i]
}

var (
	originForm = regexp.MustCompile(`^(?:https://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|http://(?:[a-z0-9-]+\.)*localhost)(?::[0-9]{1,5})?$`)
	linkForm   = regexp.MustCompile(`^/(?:[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*/?)?(?:\?[A-Za-z0-9._~=&%+-]*)?$`)
	codeForm   = regexp.MustCompile(`^[0-9A-Z]{4,8}(?:-[0-9A-Z]{4})?$`)
)

// check refuses a note that no mail may be made of. Its errors name no secret.
func (n Note) check() error {
	r, ok := ruleOf(n.Kind)
	switch to, err := portal.ParseEmail(string(n.To)); {
	case !ok:
		return fmt.Errorf("there is no mail called %q", n.Kind)
	case err != nil || to != n.To:
		return errors.New("its recipient is not an address in its canonical form")
	case n.Link != "" && !linkForm.MatchString(n.Link), n.NotMe != "" && !linkForm.MatchString(n.NotMe):
		return errors.New("its link is not a path with a query")
	case r.link && (n.Link == "" || n.Valid <= 0):
		return errors.New("it has no link, or does not say how long it holds")
	case n.Kind == portal.LetterCode && (!codeForm.MatchString(n.Code) || n.Valid <= 0):
		return errors.New("it has no code, or does not say how long it holds")
	case n.Kind != portal.LetterCode && n.Code != "":
		return errors.New("it has a code, which only a mail for a code may have")
	}
	return n.place()
}

// place refuses an origin that is not the tenant's.
func (n Note) place() error {
	if !originForm.MatchString(n.Origin) {
		return fmt.Errorf("its origin %q is not one like https://portal.example", n.Origin)
	}
	if len(n.Tenant.Hosts) > 0 {
		_, host, _ := strings.Cut(n.Origin, "://")
		bare, _, _ := strings.Cut(host, ":")
		if !slices.Contains(n.Tenant.Hosts, host) && !slices.Contains(n.Tenant.Hosts, bare) {
			return fmt.Errorf("its origin %q is on none of the tenant's hosts", n.Origin)
		}
	}
	return nil
}

// Print makes a mail of a note. It fills everything but who sends it, its ID and its date, and fails only when the note
// breaks a rule of its fields or a layout cannot be set; no error holds a link or a code.
func (p *Press) Print(n Note) (Message, error) {
	if err := n.check(); err != nil {
		return Message{}, fmt.Errorf("printing a %q mail: %w", n.Kind, err)
	}
	c := p.choose(n.Language, n.Tenant.Language)
	s := c.lay(n)
	text, page, err := p.set(s)
	if err != nil {
		return Message{}, fmt.Errorf("printing a %q mail: %w", n.Kind, err)
	}
	return Message{Tenant: n.Tenant.ID, Slug: n.Tenant.Slug, Kind: n.Kind, To: n.To, Subject: s.Subject, Text: text, HTML: page, Language: c.code}, nil
}

// lay writes the sheet of a note.
func (c *catalogue) lay(n Note) *sheet {
	data := c.facts(n)
	data["portal"] = label(n.Tenant.Name, longestPortal)
	data["name"] = person(n.Name)
	data["code"] = n.Code
	data["valid"] = c.lasting(n.Valid)
	data["until"] = c.when(moment(n.Facts["until"]), n.Zone)
	data["time"] = c.when(n.At, n.Zone)
	data["contact"] = label(n.Tenant.Brand.Contact, longestContact)
	if data["portal"] == "" {
		data["portal"] = strings.TrimPrefix(strings.TrimPrefix(n.Origin, "https://"), "http://")
	}
	kind := string(n.Kind)
	s := &sheet{
		Language: c.code, Direction: "ltr", Start: "left", End: "right", Portal: data["portal"],
		Subject:   c.first(kind, "subject", data).String(),
		Preheader: c.first(kind, "preheader", data), Heading: c.first(kind, "heading", data), Greeting: c.first("common", "greeting", data),
		Paragraphs: c.all(kind, "paragraphs", data), Afterwards: c.all(kind, "afterwards", data),
		Code: n.Code, Details: c.first(kind, "details", data), CopyLink: c.first("common", "copy_link", data),
		NotMe: c.first("common", "not_me", data), NotMeLink: c.first("common", "not_me_link", data), NotMeButton: c.first("common", "not_me_button", data),
		Light: light.with(n.Tenant.Brand.Accent), Dark: dark.with(n.Tenant.Brand.Accent),
	}
	if c.rtl {
		s.Direction, s.Start, s.End = "rtl", "right", "left"
	}
	if n.Link != "" {
		s.URL, s.Button = n.Origin+n.Link, c.first(kind, "button", data)
		if s.Button == nil {
			s.Button = s.Heading
		}
	}
	if n.NotMe != "" {
		s.NotMeURL = n.Origin + n.NotMe
	}
	if n.Code == "" && (n.Link != "" || n.NotMe != "") {
		s.Valid = c.first("common", "valid", data)
	}
	data["device"] = data["device_shown"]
	for _, name := range []string{"time", "device", "place", "address", "email"} {
		if data[name] != "" {
			value, _ := c.fill("{"+name+"}", data)
			s.Facts = append(s.Facts, fact{c.first("details", name, nil), value})
		}
	}
	for _, name := range []string{"footer", "help"} {
		if line := c.first("common", name, data); line != nil {
			s.Footer = append(s.Footer, line)
		}
	}
	return s
}
