// Package plugintest tests a plugin as the program that ships: in a process of
// its own, through its real main. The test binary becomes that program when a
// host starts it:
//
//	func TestMain(m *testing.M) { plugintest.Main(m, main) }
//
//	func TestWrite(t *testing.T) {
//		p, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "it", Path: os.Args[0]})
//		...
//	}
package plugintest

import "os"

// Main runs the tests, which are a [testing.M], or the plugin's own main when
// this process was started as a plugin.
func Main(tests interface{ Run() int }, main func()) {
	if os.Getenv("PLUGIN_OF_FLUXGATE") != "" {
		main()
		return
	}
	os.Exit(tests.Run())
}
