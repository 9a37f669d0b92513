package journal

// SetOptional says whether the reader may be moved on where the room is needed.
func (r *Reader) SetOptional(optional bool) {
	r.log.lock()
	defer r.log.unlock()
	if r.state.optional != optional {
		r.state.optional = optional
		r.generation++
	}
}
