package mail_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/web"
)

// catalogue reads a language's file as plain JSON, so that what is checked is what a translator sees.
func catalogue(t *testing.T, file string) map[string][]string {
	t.Helper()
	b, err := fs.ReadFile(web.Files, "mail/"+file)
	if err != nil {
		t.Fatal(err)
	}
	var sections map[string]map[string]any
	if err := json.Unmarshal(b, &sections); err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for s, texts := range sections {
		for name, v := range texts {
			if one, ok := v.(string); ok {
				v = []any{one}
			}
			for _, x := range v.([]any) {
				out[s+"."+name] = append(out[s+"."+name], x.(string))
			}
		}
	}
	return out
}

func names(say []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(regexp.MustCompile(`\{[a-z]+\}`).FindAllString(strings.Join(say, " "), -1))))
}

func TestEveryLanguageSaysTheSameThings(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(web.Files, "mail/*.json")
	if err != nil || len(files) < 2 {
		t.Fatal("there are the languages ", files, err)
	}
	english := catalogue(t, "en.json")
	for _, file := range files {
		other := catalogue(t, strings.TrimPrefix(file, "mail/"))
		for key, say := range english {
			if len(other[key]) == 0 {
				t.Errorf("%s has no %s", file, key)
			} else if got, want := names(other[key]), names(say); !slices.Equal(got, want) {
				t.Errorf("%s: %s has the placeholders %v, the English text %v", file, key, got, want)
			}
		}
		for key := range other {
			if len(english[key]) == 0 && !strings.HasPrefix(key, "zones.") {
				t.Errorf("%s has %s, which the English file has not", file, key)
			}
		}
	}
}

// Words that nobody should have to know, in each language.
var strange = map[string]*regexp.Regexp{
	"en.json": regexp.MustCompile(`(?i)\b(mfa|totp|2fa|tokens?|factors?|session expired|invalid|challenges?|tenants?)\b|!`),
	"de.json": regexp.MustCompile(`(?i)\b(mfa|totp|2fa|tokens?|faktor(en)?|sitzung(en)? abgelaufen|abgelaufene sitzung|ungültig\w*|challenges?|mandant\w*|tenants?)\b|!`),
}

func TestMailsAreWrittenInWordsThatPeopleKnow(t *testing.T) {
	t.Parallel()
	for file, words := range strange {
		for key, say := range catalogue(t, file) {
			for _, s := range say {
				if w := words.FindString(s); w != "" {
					t.Errorf("%s: %s says %q", file, key, w)
				}
			}
		}
	}
}

func TestGermanSpeaksToPeopleFormally(t *testing.T) {
	t.Parallel()
	for key, say := range catalogue(t, "de.json") {
		if w := regexp.MustCompile(`\b([Dd]u|[Dd]ein\w*|[Dd]ich|[Dd]ir)\b`).FindString(strings.Join(say, " ")); w != "" {
			t.Errorf("%s says %q", key, w)
		}
	}
}

// The kinds are read out of the source, so that a new letter without words fails by existing.
func TestEveryKindOfLetterHasItsWords(t *testing.T) {
	t.Parallel()
	f, err := parser.ParseFile(token.NewFileSet(), "../portal/letter.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if kind, ok := v.Type.(*ast.Ident); ok && kind.Name == "LetterKind" {
				text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, text)
			}
		}
	}
	var got []string
	for _, k := range mail.Kinds() {
		got = append(got, string(k.Name))
	}
	for _, k := range mail.TextKinds() {
		want = slices.DeleteFunc(want, func(w string) bool { return w == string(k.Name) })
		if len(catalogue(t, "en.json")[string(k.Name)+".text"]) == 0 {
			t.Errorf("the text message %s says nothing", k.Name)
		}
	}
	if len(want) < 18 || !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("the press prints %v, the letters are %v", got, want)
	}
	english := catalogue(t, "en.json")
	for _, k := range got {
		for _, name := range []string{"subject", "preheader", "heading", "paragraphs", "details", "afterwards"} {
			if len(english[k+"."+name]) == 0 {
				t.Errorf("%s has no %s", k, name)
			}
		}
		if mail.Sample(portal.LetterKind(k)).Link != "" && len(english[k+".button"]) == 0 {
			t.Errorf("%s has a link and no button", k)
		}
	}
}

func overlay(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

func TestAFileTakesThePlaceOfWhatIsBuiltIn(t *testing.T) {
	t.Parallel()
	p, err := mail.NewPress(overlay(map[string]string{
		"de.json":     "\ufeff" + `{"recover": {"heading": "Ein frisches Passwort"}}`,
		"layout.txt":  "{{range .Paragraphs}}{{wrap .}}\n{{end}}{{wrap .Heading}}\n{{.URL}}\n{{.NotMeURL}}\nGruß vom Lager\n",
		"README.md":   "what is here",
		".hidden/x":   "x",
		"old/de.json": "{",
	}))
	if err != nil {
		t.Fatal(err)
	}
	n := mail.Sample(portal.LetterRecover)
	n.Language = "de"
	m := printed(t, p, n)
	if !strings.Contains(m.HTML, "Ein frisches Passwort") || !strings.Contains(m.Text, "Ein frisches Passwort") || !strings.Contains(m.Text, "Gruß vom Lager") {
		t.Errorf("the files are not used:\n%s", m.Text)
	}
	if m.Subject != "Neues Passwort für Acme Packaging wählen" {
		t.Errorf("what the file does not say became %q", m.Subject)
	}
	n.Language = "en"
	if m := printed(t, p, n); strings.Contains(m.HTML, "frisches") {
		t.Error("another language changed too")
	}
}

func TestALanguageIsAddedWithAFile(t *testing.T) {
	t.Parallel()
	b, err := fs.ReadFile(web.Files, "mail/en.json")
	if err != nil {
		t.Fatal(err)
	}
	polish := strings.Replace(string(b), `"hours_one"`, `"hours_few": "{n} godziny", "hours_many": "{n} godzin", "hours_one"`, 1)
	p, err := mail.NewPress(overlay(map[string]string{"pl.json": polish, "he.json": string(b)}))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Languages(), []string{"en", "de", "he", "pl"}) || !p.Speaks("pl-PL") || p.Speaks("fr") {
		t.Errorf("there are %v", p.Languages())
	}
	n := mail.Sample(portal.LetterVerify)
	n.Language = "pl-PL"
	if m := printed(t, p, n); m.Language != "pl" || !strings.Contains(m.Text, "24 godziny") {
		t.Errorf("a plural form of Polish is not used:\n%s", m.Text)
	}
	n.Language = "he"
	if m := printed(t, p, n); !strings.Contains(m.HTML, `<html lang="he" dir="rtl">`) {
		t.Error("Hebrew does not run from right to left")
	}
}

func TestAWrongFileIsAnErrorWithPlaceAndMend(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no JSON":               {map[string]string{"de.json": "{\n\"recover\": {\n\"heading\": \"x\"\n\"button\": \"y\"}}"}, `de.json:4: is not JSON .*look for a comma`},
		"cut off":               {map[string]string{"de.json": `{"recover": {"heading": "x"`}, `de.json:1: is not JSON`},
		"a list":                {map[string]string{"de.json": `[]`}, `de.json:1: a language's file is an object in braces`},
		"more behind":           {map[string]string{"de.json": "{}\n{}"}, `de.json:\d: there is something behind the last brace`},
		"a number":              {map[string]string{"de.json": "{\"recover\": {\n\"heading\": 5}}"}, `de.json:2: recover.heading is a text or a list of texts`},
		"twice":                 {map[string]string{"de.json": "{\"recover\": {\"heading\": \"a\",\n\"heading\": \"b\"}}"}, `de.json:2: there is a second text recover.heading`},
		"not UTF-8":             {map[string]string{"de.json": "{\n\"recover\": {\"heading\": \"\xfcber\"}}"}, `de.json:2: is not UTF-8; save`},
		"an unknown text":       {map[string]string{"de.json": "{\"recover\": {\n\"headline\": \"x\"}}"}, `de.json:2: recover.headline is not a text of any mail; take it out`},
		"an unknown value":      {map[string]string{"de.json": `{"recover": {"heading": "Hallo {token}"}}`}, `de.json:1: recover.heading has \{token\}, which is not known there`},
		"a value left out":      {map[string]string{"de.json": `{"recover": {"subject": "Neues Passwort"}}`}, `de.json:1: recover.subject lacks \{portal\}`},
		"a stray brace":         {map[string]string{"de.json": `{"recover": {"heading": "{{.URL}}"}}`}, `de.json:1: recover.heading has a brace that belongs to no placeholder`},
		"an address":            {map[string]string{"de.json": `{"recover": {"heading": "siehe https://evil.test"}}`}, `recover.heading has an address in it`},
		"markup":                {map[string]string{"de.json": `{"recover": {"heading": "<b>x</b>"}}`}, `recover.heading has a < or >`},
		"eleven months":         {map[string]string{"de.json": `{"date": {"months": ["a","b","c","d","e","f","g","h","i","j","k"]}}`}, `date.months has 11 names and not 12`},
		"half a language":       {map[string]string{"fr.json": `{"recover": {"heading": "x"}}`}, `fr.json: these texts are missing: .*and \d+ more; en.json has them all`},
		"no language":           {map[string]string{"german.json": `{}`}, `german.json: a language's file is called like its tag`},
		"another file":          {map[string]string{"layout.htm": "x"}, `layout.htm: is no file of mails; there may be layout.html, layout.txt`},
		"a broken template":     {map[string]string{"layout.txt": "x\n{{range}}\n"}, `^layout.txt:2: .*compare it with the layout that is built in`},
		"an unknown field":      {map[string]string{"layout.html": "\n{{.Password}}\n"}, `layout.html:2:.*Password.*compare it`},
		"a remote image":        {map[string]string{"layout.html": "\n<img alt=x>\n"}, `layout.html:2: has "<img"; a mail loads nothing`},
		"a link elsewhere":      {map[string]string{"layout.txt": "see https://evil.test\n"}, `layout.txt:1: has "https:"`},
		"a layout without link": {map[string]string{"layout.txt": "{{wrap .Heading}}"}, `a layout leaves out a link; layout.txt shows .URL`},
	} {
		_, err := mail.NewPress(overlay(c.files))
		if err == nil || !regexp.MustCompile("(?m)"+c.want).MatchString(err.Error()) {
			t.Errorf("%s: the error is %v, and not like %s", what, err, c.want)
		}
	}
	_, err := mail.NewPress(overlay(map[string]string{"de.json": `{"recover": {"heading": "{x}"}}`, "layout.htm": "x", "layout.txt": "{{"}))
	if n := strings.Count(err.Error(), "\n"); n != 2 {
		t.Errorf("three wrong files are not all named: %v", err)
	}
}

func TestThePseudoLanguageIsChosenByItsNameAlone(t *testing.T) {
	t.Parallel()
	p := press(t)
	if slices.Contains(p.Languages(), mail.PseudoLanguage) || p.Speaks("ar") || !p.Speaks(mail.PseudoLanguage) {
		t.Error("the pseudo-language is a language")
	}
	english := slices.Sorted(maps.Keys(catalogue(t, "en.json")))
	if len(english) < 100 {
		t.Errorf("English has only %d texts", len(english))
	}
}
