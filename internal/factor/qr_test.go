package factor

import (
	"encoding/xml"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// ux 34: what a camera sees is the address, on white, with the border that it needs.
func TestThePictureReadsAsTheAddressItWasDrawnFrom(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"otpauth://totp/Acme:ann@buyer.example?algorithm=SHA1&digits=6&issuer=Acme&period=30&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
		"otpauth://totp/Gr%C3%BC%C3%9Fe%20%26%20S%C3%B6hne:somebody.with.a.long.name@a-department.buyer.example?algorithm=SHA1&digits=6&issuer=Gr%C3%BC%C3%9Fe%20%26%20S%C3%B6hne&period=30&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
	} {
		svg, err := drawQR(text)
		if err != nil {
			t.Fatal(err)
		}
		dark := rasterised(t, svg)
		n := len(dark)
		for i := range n {
			for j := range n {
				if border := i < quiet || j < quiet || i >= n-quiet || j >= n-quiet; border && dark[i][j] {
					t.Fatalf("the border is dark at %d, %d", i, j)
				}
			}
		}
		inner := make([][]bool, 0, n)
		for _, row := range dark[quiet : n-quiet] {
			inner = append(inner, row[quiet:n-quiet])
		}
		if got := scanned(t, inner); got != text {
			t.Errorf("a camera reads %q, and not %q", got, text)
		}
	}
	if _, err := drawQR(strings.Repeat("x", 4000)); err == nil {
		t.Error("more than fits is drawn")
	}
}

// rasterised draws the picture, and fails where it is anything but white with dark runs, or small.
func rasterised(t *testing.T, svg string) [][]bool {
	t.Helper()
	var e struct {
		Width   int    `xml:"width,attr"`
		Height  int    `xml:"height,attr"`
		ViewBox string `xml:"viewBox,attr"`
		Hidden  string `xml:"aria-hidden,attr"`
		Paths   []struct {
			Fill string `xml:"fill,attr"`
			D    string `xml:"d,attr"`
		} `xml:"path"`
	}
	if err := xml.Unmarshal([]byte(svg), &e); err != nil {
		t.Fatal(err)
	}
	side := strings.Fields(e.ViewBox)[2]
	n, err := strconv.Atoi(side)
	if err != nil || e.ViewBox != "0 0 "+side+" "+side || e.Width != e.Height || e.Width < 200 || e.Width%n != 0 || e.Hidden != "true" || len(e.Paths) != 2 {
		t.Fatalf("%+v", e)
	}
	if e.Paths[0].Fill != "#fff" || e.Paths[0].D != "M0 0h"+side+"v"+side+"H0z" || e.Paths[1].Fill != "#000" {
		t.Fatalf("%+v", e.Paths[0])
	}
	run := regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`)
	if rest := run.ReplaceAllString(e.Paths[1].D, ""); rest != "" {
		t.Fatalf("the path holds %q", rest)
	}
	dark := make([][]bool, n)
	for i := range dark {
		dark[i] = make([]bool, n)
	}
	for _, m := range run.FindAllStringSubmatch(e.Paths[1].D, -1) {
		x, _ := strconv.Atoi(m[1])
		y, _ := strconv.Atoi(m[2])
		long, _ := strconv.Atoi(m[3])
		if m[3] != m[4] {
			t.Fatalf("a run does not come back: %s", m[0])
		}
		for i := range long {
			dark[y][x+i] = true
		}
	}
	return dark
}

// blocks are how ISO/IEC 18004 parts the words of level M, by version: how many blocks there are of which length.
var blocks = map[int][4]int{6: {4, 27, 0, 0}, 7: {4, 31, 0, 0}, 8: {2, 38, 2, 39}, 9: {3, 36, 2, 37}, 10: {4, 43, 1, 44}, 11: {1, 50, 4, 51}, 12: {6, 36, 2, 37}, 13: {8, 37, 1, 38}}

var masks = []func(i, j int) bool{
	func(i, j int) bool { return (i+j)%2 == 0 },
	func(i, _ int) bool { return i%2 == 0 },
	func(_, j int) bool { return j%3 == 0 },
	func(i, j int) bool { return (i+j)%3 == 0 },
	func(i, j int) bool { return (i/2+j/3)%2 == 0 },
	func(i, j int) bool { return i*j%2+i*j%3 == 0 },
	func(i, j int) bool { return (i*j%2+i*j%3)%2 == 0 },
	func(i, j int) bool { return ((i+j)%2+i*j%3)%2 == 0 },
}

// scanned reads a QR code of level M in byte mode, versions 6 to 13, that has no fault: not by the library that drew it.
func scanned(t *testing.T, dark [][]bool) string {
	t.Helper()
	n := len(dark)
	version := (n - 17) / 4
	parts, ok := blocks[version]
	if !ok || n != 17+4*version {
		t.Fatalf("a code of %d modules", n)
	}
	format := 0
	for _, at := range [][2]int{{8, 0}, {8, 1}, {8, 2}, {8, 3}, {8, 4}, {8, 5}, {8, 7}, {8, 8}, {7, 8}, {5, 8}, {4, 8}, {3, 8}, {2, 8}, {1, 8}, {0, 8}} {
		if format <<= 1; dark[at[0]][at[1]] {
			format |= 1
		}
	}
	format ^= 0b101010000010010
	if format>>13 != 0 {
		t.Fatalf("the level is %b, not M", format>>13)
	}
	mask := masks[format>>10&7]
	middle := 2*version + 8 // of versions 7 to 13 the second of three alignment lines
	lines := []int{6, middle, n - 7}
	if version == 6 {
		lines = []int{6, n - 7}
	}
	fixed := func(i, j int) bool {
		if i < 9 && j < 9 || i < 9 && j >= n-8 || i >= n-8 && j < 9 || i == 6 || j == 6 {
			return true
		}
		if version >= 7 && (i < 6 && j >= n-11 || j < 6 && i >= n-11) {
			return true
		}
		for _, a := range lines {
			for _, b := range lines {
				corner := a == 6 && b == 6 || a == 6 && b == n-7 || a == n-7 && b == 6
				if !corner && i >= a-2 && i <= a+2 && j >= b-2 && j <= b+2 {
					return true
				}
			}
		}
		return false
	}
	var words []byte
	word, bits, up := byte(0), 0, true
	for right := n - 1; right > 0; right -= 2 {
		if right == 6 {
			right--
		}
		for k := range n {
			i := k
			if up {
				i = n - 1 - k
			}
			for _, j := range []int{right, right - 1} {
				if fixed(i, j) {
					continue
				}
				if word <<= 1; dark[i][j] != mask(i, j) {
					word |= 1
				}
				if bits++; bits%8 == 0 {
					words = append(words, word)
				}
			}
		}
		up = !up
	}
	// The words stand block by block in turn; the longer blocks come last.
	lengths := append(slicesOf(parts[0], parts[1]), slicesOf(parts[2], parts[3])...)
	data := make([][]byte, len(lengths))
	for at, column := 0, 0; column < max(parts[1], parts[3]); column++ {
		for b, length := range lengths {
			if column < length {
				data[b] = append(data[b], words[at])
				at++
			}
		}
	}
	var all []byte
	for _, d := range data {
		all = append(all, d...)
	}
	nibble := func(i int) int { return int(all[i/2]) >> (4 * (1 - i%2)) & 15 }
	if nibble(0) != 4 {
		t.Fatalf("the mode is %d, not bytes", nibble(0))
	}
	at, long := 3, nibble(1)<<4|nibble(2)
	if version > 9 {
		at, long = 5, long<<8|nibble(3)<<4|nibble(4)
	}
	text := make([]byte, 0, long)
	for i := range long {
		text = append(text, byte(nibble(at+2*i)<<4|nibble(at+2*i+1)))
	}
	return string(text)
}

func slicesOf(n, length int) (out []int) {
	for range n {
		out = append(out, length)
	}
	return out
}
