// Answers, for each line of JSON on standard input, what Kubernetes' own structured-merge-diff makes of one write.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"sigs.k8s.io/structured-merge-diff/fieldpath"
	"sigs.k8s.io/structured-merge-diff/merge"
	"sigs.k8s.io/structured-merge-diff/typed"
	"sigs.k8s.io/structured-merge-diff/value"
)

const version = fieldpath.APIVersion("v1")

type oneVersion struct{}

func (oneVersion) Convert(object *typed.TypedValue, _ fieldpath.APIVersion) (*typed.TypedValue, error) {
	return object, nil
}

func (oneVersion) IsMissingVersionError(error) bool { return false }

type entry struct {
	Applied bool            `json:"applied"`
	Set     json.RawMessage `json:"set"`
}

type request struct {
	// A schema of structured-merge-diff, in YAML; only in the first line. Its root type is "root".
	Schema   string           `json:"schema,omitempty"`
	Live     interface{}      `json:"live"`
	Object   interface{}      `json:"object"`
	Managers map[string]entry `json:"managers"`
	Manager  string           `json:"manager"`
	Apply    bool             `json:"apply"`
	Force    bool             `json:"force"`
}

type answer struct {
	Object    json.RawMessage  `json:"object,omitempty"`
	Managers  map[string]entry `json:"managers"`
	Conflicts []string         `json:"conflicts,omitempty"`
	Error     string           `json:"error,omitempty"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<26)
	out := json.NewEncoder(os.Stdout)
	var parser *typed.Parser
	for lines.Scan() {
		var r request
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		if err := decoder.Decode(&r); err != nil {
			fail(err)
		}
		if r.Schema != "" {
			var err error
			if parser, err = typed.NewParser(typed.YAMLObject(r.Schema)); err != nil {
				fail(err)
			}
			continue
		}
		if err := out.Encode(respond(parser.Type("root"), r)); err != nil {
			fail(err)
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func respond(root typed.ParseableType, r request) answer {
	live, err := root.FromUnstructured(r.Live)
	if err != nil {
		return answer{Error: "live: " + err.Error()}
	}
	object, err := root.FromUnstructured(r.Object)
	if err != nil {
		return answer{Error: "object: " + err.Error()}
	}
	managers, err := managersOf(r)
	if err != nil {
		return answer{Error: err.Error()}
	}
	updater := merge.Updater{Converter: oneVersion{}}
	var result *typed.TypedValue
	if r.Apply {
		result, managers, err = updater.Apply(live, object, version, managers, r.Manager, r.Force)
		if result == nil {
			result = live
		}
	} else {
		result, managers, err = updater.Update(live, object, version, managers, r.Manager)
	}
	if _, ok := err.(merge.Conflicts); ok {
		return conflictsOf(updater, live, object, r)
	}
	if err != nil {
		return answer{Error: err.Error()}
	}
	text, err := value.ToJSON(result.AsValue())
	if err != nil {
		return answer{Error: err.Error()}
	}
	entries := map[string]entry{}
	for name, set := range managers {
		fields, err := set.Set().ToJSON()
		if err != nil {
			return answer{Error: err.Error()}
		}
		entries[name] = entry{Applied: set.Applied(), Set: fields}
	}
	return answer{Object: text, Managers: entries}
}

func managersOf(r request) (fieldpath.ManagedFields, error) {
	managers := fieldpath.ManagedFields{}
	for name, e := range r.Managers {
		set := fieldpath.NewSet()
		if err := set.FromJSON(bytes.NewReader(e.Set)); err != nil {
			return nil, err
		}
		managers[name] = fieldpath.NewVersionedSet(set, version, e.Applied)
	}
	return managers, nil
}

// The conflicts of an apply. The list in the error is not used: old versions of the package let its paths share memory,
// and later ones overwrite earlier ones.
func conflictsOf(updater merge.Updater, live, object *typed.TypedValue, r request) answer {
	managers, err := managersOf(r)
	if err != nil {
		return answer{Error: err.Error()}
	}
	result, _, err := updater.Apply(live, object, version, managers, r.Manager, true)
	if err != nil {
		return answer{Error: err.Error()}
	}
	changes, err := live.Compare(result)
	if err != nil {
		return answer{Error: err.Error()}
	}
	owners, err := managersOf(r)
	if err != nil {
		return answer{Error: err.Error()}
	}
	texts := []string{}
	for name, owner := range owners {
		if name != r.Manager {
			owner.Set().Intersection(changes.Modified.Union(changes.Added)).Iterate(func(path fieldpath.Path) {
				texts = append(texts, fmt.Sprintf("conflict with %q: %v", name, path))
			})
		}
	}
	return answer{Conflicts: texts}
}
