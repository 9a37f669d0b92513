package ledger

// plain reports whether d is written without a look at what is there. That takes
// Redis a quarter of the time, and knows no expiry.
func (r *Redis) plain(d *Due) bool { return d.Newest && !r.cluster && r.o.Expire == 0 }

// written returns the calls that write those n of dues that are plain.
func (r *Redis) written(dues []Due, texts []string, n int) []call {
	calls, all := make([]call, 0, n+2), make(call, 0, 3*n)
	for i := range dues {
		if r.plain(&dues[i]) {
			all = append(all, "set", &texts[3*i], &texts[3*i+1])
			calls = append(calls, all[len(all)-3:len(all):len(all)])
		}
	}
	if !r.o.Hash {
		return calls
	}
	fields := append(make(call, 0, 2+2*n), "hset", hashEntry)
	for i := range dues {
		if r.plain(&dues[i]) {
			fields = append(fields, &dues[i].Metric, &texts[3*i+2])
		}
	}
	return append(calls, fields)
}
