package main

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
)

// Scrape is what one process said; no text is a scrape that failed.
type Scrape struct {
	AtMS     int64   `json:"at_ms"`
	Instance string  `json:"instance"`
	Text     *string `json:"text"`
}

// scrape parses what was said as Prometheus does and stores it. A series of the scrape before that is not in this one
// ends with a stale marker, as the scrape loop does it.
func (s *store) scrape(scrapes []Scrape) error {
	before := map[string]map[string]labels.Labels{}
	for _, scrape := range scrapes {
		said := map[string]labels.Labels{}
		if scrape.Text != nil {
			if err := s.parse(scrape, said); err != nil {
				return fmt.Errorf("scrape of %s at %d: %w", scrape.Instance, scrape.AtMS, err)
			}
		}
		for key, metric := range before[scrape.Instance] {
			if _, found := said[key]; !found {
				if err := s.add(metric, scrape.AtMS, math.Float64frombits(value.StaleNaN)); err != nil {
					return err
				}
			}
		}
		before[scrape.Instance] = said
	}
	return nil
}

func (s *store) parse(scrape Scrape, said map[string]labels.Labels) error {
	parser, err := textparse.New([]byte(*scrape.Text), "text/plain; version=0.0.4", nil, textparse.ParserOptions{})
	if err != nil {
		return err
	}
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		var metric labels.Labels
		parser.Labels(&metric)
		metric = labels.NewBuilder(metric).Set("instance", scrape.Instance).Labels()
		_, _, f := parser.Series()
		if err := s.add(metric, scrape.AtMS, f); err != nil {
			return err
		}
		said[metric.String()] = metric
	}
}
