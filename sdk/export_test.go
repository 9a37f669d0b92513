package sdk

// OverDataSocket reports whether the plugin is called over its data socket.
func (p *Process[T]) OverDataSocket() bool {
	if p.link == nil {
		return false
	}
	select {
	case <-p.link.broken:
		return false
	default:
		return true
	}
}
