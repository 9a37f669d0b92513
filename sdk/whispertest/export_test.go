package whispertest

// FindProgram returns the path of the program that [Start] starts.
func FindProgram() (string, error) {
	p, err := findProgram()
	return p.path, err
}

// Pid returns the process id of the gate's Fluxgate.
func (g *Gate) Pid() int { return g.process.cmd.Process.Pid }

// Impatient returns the same gate, which waits as good as not at all.
func (g *Gate) Impatient() *Gate {
	other := *g
	other.config.Patience = 1
	return &other
}

// Dead says that the gate's Fluxgate has ended, if it has.
func (g *Gate) Dead() string { return g.process.obituary() }
