package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
)

// preview is what `mail preview` was asked for.
type preview struct {
	desk
	tenant, language, overlay, out string
	html, text                     bool
}

// previewed is a mail as the command answers it.
type previewed struct {
	Kind     string `json:"kind"`
	Language string `json:"language"`
	To       string `json:"to"`
	Subject  string `json:"subject"`
	Text     string `json:"text,omitempty"`
	HTML     string `json:"html,omitempty"`
}

// everyKind asks for all mails at once.
const everyKind = "all"

func mailPreview() *cobra.Command {
	var v preview
	c := command("preview [KIND|all]", "Shows a mail with made-up data, without a database; without a kind it lists the kinds",
		"  portalgate mail preview\n  portalgate mail preview recover --language de\n  portalgate mail preview new_device --html > mail.html\n  portalgate mail preview all --language de --overlay mails --out previews",
		func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("%q is one argument too many: write `%s KIND`, or `%s all`", args[1], c.CommandPath(), c.CommandPath())
			}
			return nil
		},
		func(c *cobra.Command, args []string) error { return v.run(c, args) })
	v.answers(c)
	c.Flags().StringVar(&v.tenant, "tenant", "acme", "slug of the tenant that the mail is shown for; its name is made up of it")
	c.Flags().StringVar(&v.language, "language", "", "language of the person, as de or de-AT; "+mail.PseudoLanguage+" shows English from right to left (default en)")
	c.Flags().BoolVar(&v.html, "html", false, "show the HTML part alone")
	c.Flags().BoolVar(&v.text, "text", false, "show the text part alone")
	c.Flags().StringVar(&v.overlay, "overlay", "", "directory with files that take the place of those built in: layout.html, layout.txt, de.json and other languages")
	c.Flags().StringVar(&v.out, "out", "", "directory to write files to, as recover.de.html and recover.de.txt; made if it is not there")
	return c
}

func (v *preview) run(c *cobra.Command, args []string) error {
	press, err := v.press()
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return v.list(c, press)
	}
	kinds, err := kindsOf(args[0])
	switch {
	case err != nil:
		return err
	case v.html && v.text:
		return errors.New("--html or --text? one of them; without either both parts are shown")
	case len(kinds) > 1 && v.out == "" && !v.json:
		return errors.New("all mails are for files: give --out with a directory")
	case !slugForm.MatchString(v.tenant):
		return fmt.Errorf("--tenant %q is not a slug: lower-case letters, digits and dashes", v.tenant)
	case v.language != "" && !press.Speaks(v.language):
		return fmt.Errorf("there are no mails in %q; there are: %s; another language is a file of its own, see --overlay", v.language, strings.Join(append(press.Languages(), mail.PseudoLanguage), ", "))
	}
	var mails []previewed
	for _, k := range kinds {
		one, err := v.one(press, k)
		if err != nil {
			return err
		}
		if v.html {
			one.Text = ""
		}
		if v.text {
			one.HTML = ""
		}
		mails = append(mails, one)
	}
	if v.out != "" {
		return v.write(c, mails)
	}
	if v.json {
		return v.print(c, mails, nil)
	}
	return v.show(c.OutOrStdout(), mails[0])
}

// one prints one mail, or one text message, which is all text.
func (v *preview) one(press *mail.Press, k portal.LetterKind) (previewed, error) {
	n := v.note(k)
	if k == portal.LetterTextCode {
		says, err := press.PrintText(n)
		return previewed{Kind: string(k), Language: press.Language(n.Language, n.Tenant.Language), To: "+4915112345678", Text: says + "\n"}, err
	}
	m, err := press.Print(n)
	return previewed{Kind: string(k), Language: m.Language, To: string(m.To), Subject: m.Subject, Text: m.Text, HTML: m.HTML}, err
}

// previewKinds are all mails, and then all text messages.
func previewKinds() []mail.Kind { return append(mail.Kinds(), mail.TextKinds()...) }

// press reads the files.
func (v *preview) press() (*mail.Press, error) {
	if v.overlay == "" {
		return mail.BuiltIn()
	}
	if info, err := os.Stat(v.overlay); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("--overlay %s is not a directory that can be read; make one with the files that shall differ", v.overlay)
	}
	p, err := mail.NewPress(os.DirFS(v.overlay))
	if err != nil {
		return nil, fmt.Errorf("the files in %s cannot be used:\n%w", v.overlay, err)
	}
	return p, nil
}

// kindsOf reads which mails are meant.
func kindsOf(arg string) (out []portal.LetterKind, err error) {
	var names []string
	for _, k := range previewKinds() {
		names = append(names, string(k.Name))
		if arg == everyKind || arg == string(k.Name) {
			out = append(out, k.Name)
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	if near := nearest(arg, append(names, everyKind)); near != "" {
		return nil, fmt.Errorf("there is no mail %q; did you mean %q?", arg, near)
	}
	return nil, fmt.Errorf("there is no mail %q; there are: %s", arg, strings.Join(names, ", "))
}

// note is a mail's made-up data, for the tenant that was asked for.
func (v *preview) note(k portal.LetterKind) mail.Note {
	n := mail.Sample(k)
	n.Language = v.language
	if v.tenant != n.Tenant.Slug {
		words := strings.Split(v.tenant, "-")
		for i, w := range words {
			if w != "" {
				words[i] = strings.ToUpper(w[:1]) + w[1:]
			}
		}
		host := v.tenant + ".portal.example"
		n.Tenant = portal.Tenant{ID: n.Tenant.ID, Slug: v.tenant, Name: strings.Join(words, " "), Hosts: []string{host}}
		n.Origin = "https://" + host
	}
	return n
}

func (v *preview) list(c *cobra.Command, press *mail.Press) error {
	type kind struct {
		Kind string `json:"kind"`
		Says string `json:"says"`
	}
	var kinds []kind
	for _, k := range previewKinds() {
		kinds = append(kinds, kind{string(k.Name), k.Says})
	}
	return v.print(c, map[string]any{"kinds": kinds, "languages": press.Languages()}, func(w io.Writer) {
		fmt.Fprintln(w, "KIND\tWHAT IT SAYS")
		for _, k := range kinds {
			fmt.Fprintf(w, "%s\t%s\n", k.Kind, k.Says)
		}
		fmt.Fprintf(w, "\nlanguages: %s; `%s KIND` shows one\n", strings.Join(press.Languages(), ", "), c.CommandPath())
	})
}

// show prints a mail for a person: the text with its head, or the part that was asked for as it is.
func (v *preview) show(w io.Writer, m previewed) error {
	var err error
	switch {
	case v.html:
		_, err = io.WriteString(w, m.HTML)
	case v.text:
		_, err = io.WriteString(w, m.Text)
	case m.Subject == "": // a text message
		_, err = fmt.Fprintf(w, "To: %s\n\n%s", m.To, m.Text)
	default:
		_, err = fmt.Fprintf(w, "To: %s\nSubject: %s\nContent-Language: %s\n\n%s", m.To, m.Subject, m.Language, m.Text)
	}
	return err
}

// write makes a file of each part.
func (v *preview) write(c *cobra.Command, mails []previewed) error {
	if err := os.MkdirAll(v.out, 0o755); err != nil {
		return fmt.Errorf("making the directory of --out: %w", err)
	}
	var files []string
	for _, m := range mails {
		for ext, part := range map[string]string{".html": m.HTML, ".txt": m.Text} {
			if part == "" {
				continue
			}
			if ext == ".txt" && !v.text && m.Subject != "" {
				part = "Subject: " + m.Subject + "\n\n" + part
			}
			name := filepath.Join(v.out, m.Kind+"."+m.Language+ext)
			if err := os.WriteFile(name, []byte(part), 0o644); err != nil {
				return fmt.Errorf("writing a preview: %w", err)
			}
			files = append(files, filepath.ToSlash(name))
		}
	}
	return v.print(c, map[string]any{"files": files}, func(w io.Writer) {
		fmt.Fprintf(w, "wrote %d files to %s\n", len(files), v.out)
	})
}
