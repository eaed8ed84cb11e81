package main

import (
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// store keeps samples in memory: what the engine makes of them is the same as over a TSDB, which would only keep them.
type store struct {
	series []*promql.Series
	places map[uint64]int
}

// add appends a sample; like a TSDB it refuses one that is not newer than the last.
func (s *store) add(metric labels.Labels, at int64, f float64) error {
	if s.places == nil {
		s.places = map[uint64]int{}
	}
	place, found := s.places[metric.Hash()]
	if !found {
		place = len(s.series)
		s.places[metric.Hash()] = place
		s.series = append(s.series, &promql.Series{Metric: metric})
	}
	series := s.series[place]
	if !labels.Equal(series.Metric, metric) {
		return fmt.Errorf("%s and %s have one hash", series.Metric, metric)
	}
	if last := len(series.Floats) - 1; last >= 0 && series.Floats[last].T >= at {
		return fmt.Errorf("%s: sample at %d out of order", metric, at)
	}
	series.Floats = append(series.Floats, promql.FPoint{T: at, F: f})
	return nil
}

func (s *store) queryable() storage.Queryable {
	return &storage.MockQueryable{MockQuerier: &storage.MockQuerier{SelectMockFunction: s.matching}}
}

func (s *store) matching(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	found := &seriesSet{at: -1}
	for _, series := range s.series {
		differs := func(m *labels.Matcher) bool { return !m.Matches(series.Metric.Get(m.Name)) }
		if !slices.ContainsFunc(matchers, differs) {
			found.series = append(found.series, promql.NewStorageSeries(*series))
		}
	}
	return found
}

type seriesSet struct {
	series []storage.Series
	at     int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *seriesSet) At() storage.Series                { return s.series[s.at] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }
