package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/minio/minio-go/v7/pkg/s3utils"
	"github.com/robfig/cron/v3"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// platform is what the platform gives to every database of the tests.
var platform = manifest.Platform{
	PostgresImages: catalog, StorageClass: "standard",
	Archive: manifest.Archive{Endpoint: "http://s3.example:9000"},
}

// variants build the other forms of objects in manifest.Objects; nil if the database does not have the object.
var variants = map[string]func(db daap.Database) manifest.Built{
	"Hibernated": func(db daap.Database) manifest.Built { return manifest.Hibernated(db, platform) },
	"Stopped":    func(db daap.Database) manifest.Built { return manifest.Stopped(db, platform) },
	"Suspended":  backedUp(func(db daap.Database) manifest.Built { return manifest.Suspended(db) }),
	"Backup":     backedUp(func(db daap.Database) manifest.Built { return manifest.Backup(db, "first") }),
}

func backedUp(build func(daap.Database) manifest.Built) func(daap.Database) manifest.Built {
	return func(db daap.Database) manifest.Built {
		if !db.Profile.BackupEnabled {
			return nil
		}
		return build(db)
	}
}

// TestEveryBuilderOfManifestsIsInTheListOfObjects reads the source: a builder is called by manifest.Objects, or is one of
// the variants.
func TestEveryBuilderOfManifestsIsInTheListOfObjects(t *testing.T) {
	t.Parallel()
	known := slices.Collect(maps.Keys(variants))
	var found []string
	eachManifestFile(t, func(file *ast.File) {
		for _, declared := range file.Decls {
			f, is := declared.(*ast.FuncDecl)
			if !is || f.Recv != nil || f.Type.Results == nil {
				continue
			}
			if f.Name.Name == "Objects" {
				ast.Inspect(f.Body, func(n ast.Node) bool {
					if call, is := n.(*ast.CallExpr); is {
						if name, is := call.Fun.(*ast.Ident); is {
							known = append(known, name.Name)
						}
					}
					return true
				})
			}
			_, returns := f.Type.Results.List[0].Type.(*ast.StarExpr)
			if takes := f.Type.Params.List; f.Name.IsExported() && returns && len(takes) > 0 && isDatabase(takes[0].Type) {
				found = append(found, f.Name.Name)
			}
		}
	})
	for _, name := range found {
		if !slices.Contains(known, name) {
			t.Errorf("builder %s is not called by Objects", name)
		}
	}
	if len(found) < 15 {
		t.Errorf("found %d builders in the package manifest: %v", len(found), found)
	}
}

func isDatabase(of ast.Expr) bool {
	selected, is := of.(*ast.SelectorExpr)
	return is && selected.Sel.Name == "Database"
}

// eachManifestFile parses what the package manifest is made of.
func eachManifestFile(t *testing.T, do func(*ast.File)) {
	t.Helper()
	files, err := filepath.Glob("../../activities/manifest/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("files of manifest: %v, %v", files, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		do(file)
	}
}

// TestManifestsAreTypedObjectsAndNotText holds for the package that builds them: it has no template, writes no YAML and
// puts no text together that could be one.
func TestManifestsAreTypedObjectsAndNotText(t *testing.T) {
	t.Parallel()
	eachManifestFile(t, func(file *ast.File) {
		for _, imported := range file.Imports {
			for _, never := range []string{"template", "yaml", "encoding/json", "bytes", "unsafe"} {
				if strings.HasSuffix(strings.Trim(imported.Path.Value, `"`), never) {
					t.Errorf("a manifest is made with %s", imported.Path.Value)
				}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if text, is := n.(*ast.BasicLit); is && text.Kind == token.STRING &&
				(strings.Contains(text.Value, `\n`) || strings.Contains(text.Value, "\n") || strings.Contains(text.Value, "{{")) {
				t.Errorf("a manifest has the text %s", text.Value)
			}
			return true
		})
	})
}

// objects are all of the database, as they go to Kubernetes, by kind and name, with their variants.
func objects(db daap.Database) (map[string]*unstructured.Unstructured, error) {
	built := map[string]manifest.Built{}
	for _, o := range manifest.Objects(db, platform) {
		built[o.String()] = o.Built
	}
	for name, build := range variants {
		if object := build(db); object != nil {
			built[name] = object
		}
	}
	all := make(map[string]*unstructured.Unstructured, len(built))
	for name, object := range built {
		sent, err := manifest.Sent(object)
		if err != nil {
			return nil, err
		}
		if err := wellFormed(db, sent); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := sameWhenRead(object, sent); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all[name] = sent
	}
	return all, meansWhatItSays(db)
}

// wellFormed checks the rules that Kubernetes has for all objects, and their namespace.
func wellFormed(db daap.Database, object *unstructured.Unstructured) error {
	at, name := object.GetNamespace(), object.GetName()
	if object.GetKind() == "Namespace" {
		at = name
	}
	var errs []error
	if at != "daap-"+db.ID.String() {
		errs = append(errs, fmt.Errorf("it is in namespace %q", at))
	}
	if wrong := validation.IsDNS1123Label(name); len(wrong) > 0 {
		errs = append(errs, fmt.Errorf("its name is %q: %v", name, wrong))
	}
	for key, value := range object.GetLabels() {
		if wrong := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(wrong) > 0 {
			errs = append(errs, fmt.Errorf("it has the label %q=%q: %v", key, value, wrong))
		}
	}
	for key := range object.GetAnnotations() {
		if wrong := validation.IsQualifiedName(key); len(wrong) > 0 {
			errs = append(errs, fmt.Errorf("it has the annotation %q: %v", key, wrong))
		}
	}
	for path, text := range texts(object.Object) {
		if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			errs = append(errs, fmt.Errorf("it has %q at %s", text, path))
		}
	}
	return errors.Join(errs...)
}

// sameWhenRead holds for the object as YAML: it is one document, and read strictly the very same object.
func sameWhenRead(object runtime.Object, sent *unstructured.Unstructured) error {
	written, err := sigsyaml.Marshal(sent.Object)
	if err != nil {
		return err
	}
	documents := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(written)))
	buffer := make([]byte, len(written)+1)
	count := 0
	for {
		_, err := documents.Read(buffer)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		count++
	}
	if count != 1 {
		return fmt.Errorf("it is %d documents of YAML", count)
	}
	typed := reflect.New(reflect.TypeOf(object).Elem()).Interface()
	if _, is := typed.(*unstructured.Unstructured); is {
		read := map[string]any{}
		if err := sigsyaml.UnmarshalStrict(written, &read); err != nil {
			return err
		}
		again, err := sigsyaml.Marshal(read)
		if err == nil && !bytes.Equal(again, written) {
			err = fmt.Errorf("it is another when read:\n%s\n%s", written, again)
		}
		return err
	}
	if err := sigsyaml.UnmarshalStrict(written, typed); err != nil {
		return err
	}
	again, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	if err != nil {
		return err
	}
	unstructured.RemoveNestedField(again, "status")
	unstructured.RemoveNestedField(again, "metadata", "creationTimestamp")
	return sameTexts(texts(sent.Object), texts(again))
}

// sameTexts compares two objects; quantities are the same where they are as much.
func sameTexts(was, is map[string]string) error {
	for _, path := range slices.Sorted(maps.Keys(was)) {
		if was[path] == is[path] {
			continue
		}
		a, errA := resource.ParseQuantity(was[path])
		b, errB := resource.ParseQuantity(is[path])
		if errA != nil || errB != nil || a.Cmp(b) != 0 {
			return fmt.Errorf("it has %q at %s, and %q when read", was[path], path, is[path])
		}
	}
	if len(was) != len(is) {
		return fmt.Errorf("it has %d values, and %d when read", len(was), len(is))
	}
	return nil
}

// meansWhatItSays holds for what a schema cannot say: the operator reads the schedule, Kubernetes the class, and S3 the
// bucket.
func meansWhatItSays(db daap.Database) error {
	var errs []error
	if class := db.Profile.StorageClass; class != "" {
		if wrong := validation.IsDNS1123Subdomain(class); len(wrong) > 0 {
			errs = append(errs, fmt.Errorf("storage class %q: %v", class, wrong))
		}
	}
	for name, quantity := range map[string]resource.Quantity{
		"cpu": db.Profile.CPU, "memory": db.Profile.Memory, "storage": db.Profile.StorageSize,
	} {
		if again, err := resource.ParseQuantity(quantity.String()); err != nil || again.Cmp(quantity) != 0 || quantity.Sign() <= 0 {
			errs = append(errs, fmt.Errorf("%s is %q: %w", name, quantity.String(), err))
		}
	}
	if db.Profile.BackupEnabled {
		fields := cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
		if _, err := fields.Parse(manifest.ScheduledBackup(db).Spec.Schedule); err != nil {
			errs = append(errs, err)
		}
		bucket, _, _ := strings.Cut(strings.TrimPrefix(db.Profile.ObjectStorageDestination, "s3://"), "/")
		errs = append(errs, s3utils.CheckValidBucketNameStrict(bucket))
	}
	return errors.Join(errs...)
}

// texts are all values of an object, and all keys, by their paths.
func texts(value any) map[string]string {
	all := map[string]string{}
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch value := value.(type) {
		case map[string]any:
			for key, of := range value {
				walk(path+"."+key, of)
			}
		case []any:
			for i, of := range value {
				walk(fmt.Sprintf("%s[%d]", path, i), of)
			}
		default:
			all[path] = fmt.Sprint(value)
		}
	}
	walk("", value)
	return all
}
