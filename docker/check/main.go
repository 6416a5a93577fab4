// Checks docker/ without a container engine: compose.yaml must load as Compose itself loads it (schema, anchors,
// references between services, volumes and networks), and every Dockerfile must parse without a lint warning.
// Used by scripts/check-deploy.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: check FILE…   (compose files end in .yaml, all others are Dockerfiles)")
		os.Exit(2)
	}
	code := 0
	for _, path := range os.Args[1:] {
		check := checkDockerfile
		if filepath.Ext(path) == ".yaml" {
			check = checkCompose
		}
		if err := check(path); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			code = 1
		}
	}
	os.Exit(code)
}

func checkCompose(path string) error {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithName("jobico"), cli.WithConsistency(true))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	var faults []error
	for name, service := range project.Services {
		for _, port := range service.Ports {
			if port.Published != "" && port.HostIP != "127.0.0.1" {
				faults = append(faults, fmt.Errorf("service %s: port %s is published beyond 127.0.0.1", name, port.Published))
			}
		}
		if service.HealthCheck == nil {
			for other, dependent := range project.Services {
				if dependent.DependsOn[name].Condition == "service_healthy" {
					faults = append(faults, fmt.Errorf("service %s waits for %s to be healthy, which has no healthcheck", other, name))
				}
			}
		}
		for _, volume := range service.Volumes {
			if volume.Type != "bind" {
				continue
			}
			if _, err := os.Stat(volume.Source); err != nil {
				faults = append(faults, fmt.Errorf("service %s: %w", name, err))
			}
		}
	}
	return errors.Join(faults...)
}

func checkDockerfile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	parsed, err := parser.Parse(file)
	if err != nil {
		return err
	}
	var faults []error
	for _, warning := range parsed.Warnings {
		faults = append(faults, errors.New(warning.Short))
	}
	lint := linter.New(&linter.Config{
		Warn: func(rule, _, _, message string, _ []parser.Range) {
			faults = append(faults, fmt.Errorf("%s: %s", rule, message))
		},
	})
	if _, _, err := instructions.Parse(parsed.AST, lint); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}
