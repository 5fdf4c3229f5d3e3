package factor

import (
	"fmt"
	"strings"

	"github.com/boombuler/barcode/qr"
)

const (
	quiet   = 4   // white modules around a QR code, without which cameras miss it (ISO/IEC 18004)
	qrPixel = 220 // the least width of the picture
)

// drawQR draws a text as an svg element: one path of dark runs on white, in dark mode too. It stands in the page, so
// that no policy has to allow pictures from elsewhere, and holds nothing but numbers, so that it can be put into a page
// as it is. Who cannot see it is told by the page that the key stands beside it.
func drawQR(text string) (string, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return "", fmt.Errorf("encoding %d bytes: %w", len(text), err)
	}
	n := code.Bounds().Dx()
	dark := func(x, y int) bool {
		shade, _, _, _ := code.At(x, y).RGBA()
		return shade == 0
	}
	var path strings.Builder
	for y := range n {
		for x := 0; x < n; x++ {
			if !dark(x, y) {
				continue
			}
			run := 1
			for x+run < n && dark(x+run, y) {
				run++
			}
			fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, run, run)
			x += run
		}
	}
	whole := n + 2*quiet
	pixels := whole * (1 + (qrPixel-1)/whole) // each module is a whole number of pixels
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" shape-rendering="crispEdges" aria-hidden="true"><path fill="#fff" d="M0 0h%dv%dH0z"/><path fill="#000" d="%s"/></svg>`,
		pixels, pixels, whole, whole, whole, whole, path.String()), nil
}
