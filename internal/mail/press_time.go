package mail

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // containers and Windows have no time zones of their own
)

// lasting says a duration in words, in the largest unit that leaves nothing over; a day is 24 hours, which says better
// until when.
func (c *catalogue) lasting(d time.Duration) string {
	day := 24 * time.Hour
	switch {
	case d <= 0:
		return ""
	case d >= 2*day && d%day == 0:
		return c.count("days", int(d/day))
	case d >= time.Hour && d%time.Hour == 0:
		return c.count("hours", int(d/time.Hour))
	}
	return c.count("minutes", max(1, int(d/time.Minute)))
}

// when says a moment in a zone by its IANA name; one that is not known is UTC.
func (c *catalogue) when(at time.Time, zone string) string {
	if at.IsZero() {
		return ""
	}
	place := time.UTC
	if zone != "" && zone != "Local" {
		if l, err := time.LoadLocation(zone); err == nil {
			place = l
		}
	}
	at = at.In(place)
	months := c.each("date", "months")
	name, offset := at.Zone()
	if other := c.one(sectionZones, name); other != "" {
		name = other
	} else if strings.HasPrefix(name, "+") || strings.HasPrefix(name, "-") {
		sign := "+"
		if offset < 0 {
			sign, offset = "-", -offset
		}
		name = fmt.Sprintf("UTC%s%d:%02d", sign, offset/3600, offset/60%60)
	}
	data := strings.NewReplacer("{day}", strconv.Itoa(at.Day()), "{month}", months[at.Month()-1], "{year}", strconv.Itoa(at.Year()),
		"{hour}", at.Format("15:04"), "{zone}", name)
	return data.Replace(c.one("date", "time"))
}

// moment reads a fact that is a moment.
func moment(s string) time.Time {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return at
}
