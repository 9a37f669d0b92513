// Package populate fills a sink with history: durable jobs that fetch the points of
// a metric from a remote Graphite or Prometheus, resample them and deliver them.
package populate
