package caddymodule

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portalgate/portalgate/internal/auth"
	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/ratelimit"
)

// meter reads the counters of every world when Prometheus asks. There is one for the process, registered with each
// configuration's registry: counters outlive a reload because their owners do, and nothing is counted twice.
type meter struct{}

var theMeter = meter{}

// The metrics. Labels are bounded: never a person, an address or a tenant.
var (
	metricSignIns   = prometheus.NewDesc("portalgate_sign_ins_total", "Sign-ins by password, by what came of them.", []string{"result"}, nil)
	metricSecond    = prometheus.NewDesc("portalgate_second_steps_total", "Answers at the second step, and passkeys at the door, by kind and by what came of them: right, wrong.", []string{"method", "result"}, nil)
	metricRefused   = prometheus.NewDesc("portalgate_refused_total", "Requests that were refused, by the limit that did, or by the code of the answer.", []string{"rule"}, nil)
	metricSessions  = prometheus.NewDesc("portalgate_sessions_total", "Sessions, by what happened: read from the database, renewed, reused, ended.", []string{"event"}, nil)
	metricHashing   = prometheus.NewDesc("portalgate_hashing", "Password checks now: running, waiting.", []string{"state"}, nil)
	metricHashed    = prometheus.NewDesc("portalgate_hashed_total", "Password checks so far: done, refused because the queue was full.", []string{"result"}, nil)
	metricBreach    = prometheus.NewDesc("portalgate_breach_checks_total", "New passwords looked for among stolen ones: clear, breached, unavailable because the source did not answer.", []string{"result"}, nil)
	metricStreams   = prometheus.NewDesc("portalgate_streams", "Open sockets and event streams of signed-in people.", nil, nil)
	metricStale     = prometheus.NewDesc("portalgate_revocations_age_seconds", "How long ago revocations were last read.", nil, nil)
	metricPool      = prometheus.NewDesc("portalgate_database_connections", "Open connections to PostgreSQL.", nil, nil)
	metricTrips     = prometheus.NewDesc("portalgate_database_acquires_total", "How often a connection to PostgreSQL was taken.", nil, nil)
	metricDegraded  = prometheus.NewDesc("portalgate_limiter_degraded_total", "Limit decisions that this process took alone because Redis did not answer.", nil, nil)
	metricMails     = prometheus.NewDesc("portalgate_mail_tries_total", "Mails handed to a provider, by what came of it: sent, deferred, rejected.", []string{"provider", "result"}, nil)
	metricMailTime  = prometheus.NewDesc("portalgate_mail_seconds_total", "How long all tries with a provider took together.", []string{"provider"}, nil)
	metricMailUp    = prometheus.NewDesc("portalgate_mail_up", "Whether a provider did its work at the last try; refusing an address is doing it.", []string{"provider"}, nil)
	metricMailHeard = prometheus.NewDesc("portalgate_mail_events_total", "What mail providers have reported by webhook: refused because nobody had signed it, later, unreadable, not_ours, noted, suppressed, known.", []string{"provider", "result"}, nil)
	metricNeighbour = prometheus.NewDesc("portalgate_neighbour_up", "Whether a neighbour was up when it was last looked at.", []string{"neighbour"}, nil)
)

// Describe lists the metrics.
func (meter) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{metricSignIns, metricSecond, metricRefused, metricSessions, metricHashing, metricHashed, metricBreach, metricStreams, metricStale, metricPool, metricTrips, metricDegraded, metricNeighbour, metricMails, metricMailTime, metricMailUp, metricMailHeard, metricTexts, metricTextTime, metricTextUp} {
		to <- d
	}
}

// Collect reads the counters, summed over all worlds of the process.
func (meter) Collect(to chan<- prometheus.Metric) {
	signIns, sessions, stopped, breaches := map[string]int64{}, map[string]int64{}, map[string]int64{}, map[string]int64{}
	seconds := map[[2]string]int64{}
	once := map[any]bool{} // parts that several worlds share
	up := map[string]bool{}
	var running, waiting, done, refused, streams, connections, trips, degraded int64
	stale := 0.0
	for _, x := range everyWorld() {
		for result, n := range x.auth.Counts() {
			signIns[result] += n
		}
		for kind, n := range x.auth.SecondSteps() {
			seconds[[2]string{string(kind), "wrong"}] += n[0]
			seconds[[2]string{string(kind), "right"}] += n[1]
		}
		for event, n := range x.keeper.Counts() {
			sessions[event] += n
		}
		for _, l := range ratelimit.Declare(x.settings.policy.Limits).All() {
			stopped[l.Name] += 0 // a rule that has not refused yet is there to be watched
		}
		stopped[auth.RuleLockout] += 0
		stopped[auth.RuleSecond] += 0
		stopped[auth.RuleCodes] += 0
		if !once[x.refused] {
			once[x.refused] = true
			for rule, n := range x.refused.Counts() {
				stopped[rule] += n
			}
		}
		if x.breach != nil && !once[x.breach] {
			once[x.breach] = true
			for result, n := range x.breach.results() {
				breaches[result] += n
			}
		}
		s := x.hasher.Stats()
		running, waiting, done, refused = running+s.Running, waiting+s.Waiting, done+s.Done, refused+s.Refused
		streams += int64(x.streams.Len())
		connections, trips, degraded = connections+int64(x.store.Connections()), trips+x.store.Trips(), degraded+x.limits.Degraded()
		stale = max(stale, min(x.feed.Stale(time.Now()).Seconds(), 1e6))
		for name, is := range x.watch.states() {
			up[name] = is
		}
	}
	count := func(d *prometheus.Desc, n int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for result, n := range signIns {
		count(metricSignIns, n, result)
	}
	for labels, n := range seconds {
		count(metricSecond, n, labels[0], labels[1])
	}
	for rule, n := range stopped {
		count(metricRefused, n, rule)
	}
	for event, n := range sessions {
		count(metricSessions, n, event)
	}
	for result, n := range breaches {
		count(metricBreach, n, result)
	}
	gauge(metricHashing, float64(running), "running")
	gauge(metricHashing, float64(waiting), "waiting")
	count(metricHashed, done, "done")
	count(metricHashed, refused, "refused")
	gauge(metricStreams, float64(streams))
	gauge(metricStale, stale)
	gauge(metricPool, float64(connections))
	count(metricTrips, trips)
	count(metricDegraded, degraded)
	for _, c := range mailTally.Counts() {
		for result, n := range map[string]uint64{"sent": c.Sent, "deferred": c.Deferred, "rejected": c.Rejected} {
			count(metricMails, int64(n), c.Provider, result)
		}
		to <- prometheus.MustNewConstMetric(metricMailTime, prometheus.CounterValue, c.Seconds, c.Provider)
		v := 1.0
		if mail.Broken(c.Err) {
			v = 0
		}
		gauge(metricMailUp, v, c.Provider)
	}
	collectTexts(to)
	mailEvents.each(func(provider, result string, n int64) { count(metricMailHeard, n, provider, result) })
	for name, is := range up {
		v := 0.0
		if is {
			v = 1
		}
		gauge(metricNeighbour, v, name)
	}
}

// measure registers the meter with a configuration's registry. A second app in it finds it there.
func measure(r *prometheus.Registry) error {
	var there prometheus.AlreadyRegisteredError
	if err := r.Register(theMeter); err != nil && !errors.As(err, &there) {
		return bad("metrics", "%v", err)
	}
	return nil
}
