package pages

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxLogo bounds a logo, in bytes.
const MaxLogo = 64 << 10

// LogoType is the media type of a logo that may be served: SVG, PNG or WebP; empty for anything else.
func LogoType(b []byte) string {
	switch {
	case len(b) == 0 || len(b) > MaxLogo:
		return ""
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return "image/png"
	case len(b) > 12 && bytes.Equal(b[:4], []byte("RIFF")) && bytes.Equal(b[8:12], []byte("WEBP")):
		return "image/webp"
	case utf8.Valid(b) && bytes.Contains(b[:min(len(b), 1024)], []byte("<svg")):
		return "image/svg+xml"
	}
	return ""
}

// The box that a logo is shown in, in CSS pixels.
const (
	logoHeight = 44
	logoWidth  = 220
)

// logoBox is the size at which a logo is shown: as high as the box, unless it is so wide that its width decides. It is
// said in the page, so that nothing moves when the picture arrives. A picture that does not tell its size is square.
func logoBox(b []byte) (width, height int) {
	w, h := logoSize(b)
	if w <= 0 || h <= 0 {
		return logoHeight, logoHeight
	}
	width, height = int(logoHeight*w/h+.5), logoHeight
	if width > logoWidth {
		width, height = logoWidth, int(logoWidth*h/w+.5)
	}
	return max(width, 1), max(height, 1)
}

// logoSize is what a picture says of its own proportions, or zeros.
func logoSize(b []byte) (w, h float64) {
	switch LogoType(b) {
	case "image/png":
		if len(b) >= 24 { // the header chunk is the first (PNG, section 5.6)
			return float64(binary.BigEndian.Uint32(b[16:])), float64(binary.BigEndian.Uint32(b[20:]))
		}
	case "image/webp":
		return webpSize(b)
	case "image/svg+xml":
		return svgSize(b)
	}
	return 0, 0
}

// webpSize reads the first chunk (RFC 9649 section 2).
func webpSize(b []byte) (w, h float64) {
	if len(b) < 30 {
		return 0, 0
	}
	u24 := func(b []byte) float64 { return float64(int(b[0]) | int(b[1])<<8 | int(b[2])<<16) }
	switch string(b[12:16]) {
	case "VP8 ":
		le := binary.LittleEndian
		return float64(le.Uint16(b[26:]) & 0x3fff), float64(le.Uint16(b[28:]) & 0x3fff)
	case "VP8L":
		bits := binary.LittleEndian.Uint32(b[21:])
		return float64(bits&0x3fff) + 1, float64(bits>>14&0x3fff) + 1
	case "VP8X":
		return u24(b[24:]) + 1, u24(b[27:]) + 1
	}
	return 0, 0
}

// svgSize reads the root element: its view box, else its width and height in plain numbers or pixels.
func svgSize(b []byte) (w, h float64) {
	d := xml.NewDecoder(bytes.NewReader(b))
	for {
		t, err := d.Token()
		if err != nil {
			return 0, 0
		}
		root, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		attributes := map[string]string{}
		for _, a := range root.Attr {
			attributes[a.Name.Local] = a.Value
		}
		number := func(s string) float64 {
			n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(s), "px"), 64)
			if err != nil || !(n > 0 && n < 1e6) {
				return 0
			}
			return n
		}
		if box := strings.FieldsFunc(attributes["viewBox"], func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\t' }); len(box) == 4 {
			return number(box[2]), number(box[3])
		}
		return number(attributes["width"]), number(attributes["height"])
	}
}
