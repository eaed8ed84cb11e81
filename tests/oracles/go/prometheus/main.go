// Command prometheus answers PromQL queries over given samples with Prometheus' own engine.
//
// It reads cases from standard input, one JSON document a line, and writes the answers to each, one line a case.
// Values are text in both directions: JSON has no NaN. A value of "stale" is Prometheus' stale marker.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

// Case is a store and what is asked of it. Scrapes are stored after the series.
type Case struct {
	Series  []Series `json:"series"`
	Scrapes []Scrape `json:"scrapes"`
	Queries []Query  `json:"queries"`
}

// Series is one series, its samples in the order of time.
type Series struct {
	Labels  map[string]string `json:"labels"`
	TimesMS []int64           `json:"times_ms"`
	Values  []string          `json:"values"`
}

// Query is one instant query.
type Query struct {
	Expr string `json:"expr"`
	AtMS int64  `json:"at_ms"`
}

// Element is one element of the vector that a query answers.
type Element struct {
	Labels map[string]string `json:"labels"`
	Value  string            `json:"value"`
}

func main() {
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 50_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute,
		EnableAtModifier: true, EnableNegativeOffset: true,
	})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<28)
	out := bufio.NewWriter(os.Stdout)
	answers := json.NewEncoder(out)
	for number := 0; lines.Scan(); number++ {
		var asked Case
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			log.Fatalf("case %d: %v", number, err)
		}
		given, err := answer(engine, &asked)
		if err != nil {
			log.Fatalf("case %d: %v", number, err)
		}
		if err := answers.Encode(given); err != nil {
			log.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

func answer(engine *promql.Engine, asked *Case) ([][]Element, error) {
	kept := store{}
	for _, series := range asked.Series {
		for i, at := range series.TimesMS {
			sample, err := parse(series.Values[i])
			if err != nil {
				return nil, err
			}
			if err := kept.add(labels.FromMap(series.Labels), at, sample); err != nil {
				return nil, err
			}
		}
	}
	if err := kept.scrape(asked.Scrapes); err != nil {
		return nil, err
	}
	answers := make([][]Element, 0, len(asked.Queries))
	for _, query := range asked.Queries {
		vector, err := evaluate(engine, kept.queryable(), query)
		if err != nil {
			return nil, fmt.Errorf("%s at %d: %w", query.Expr, query.AtMS, err)
		}
		answers = append(answers, vector)
	}
	return answers, nil
}

func evaluate(engine *promql.Engine, from storage.Queryable, query Query) ([]Element, error) {
	prepared, err := engine.NewInstantQuery(context.Background(), from, nil, query.Expr, time.UnixMilli(query.AtMS))
	if err != nil {
		return nil, err
	}
	defer prepared.Close()
	vector, err := prepared.Exec(context.Background()).Vector()
	if err != nil {
		return nil, err
	}
	elements := make([]Element, 0, len(vector))
	for _, sample := range vector {
		elements = append(elements, Element{
			Labels: sample.Metric.Map(), Value: strconv.FormatFloat(sample.F, 'g', -1, 64),
		})
	}
	return elements, nil
}

func parse(text string) (float64, error) {
	if text == "stale" {
		return math.Float64frombits(value.StaleNaN), nil
	}
	return strconv.ParseFloat(text, 64)
}
