package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// The images of the stack are written as one archive in the format of docker
// save: plain tar files and a little JSON. Images share their layers, so the
// root filesystem is in there, and on the node, once.

// imageTags are the images whose tags follow what Debian installed.
type imageTags struct {
	operand string
	pooler  string
}

// readTags reads the versions from the root filesystem of the cache.
func readTags(l layout) (imageTags, error) {
	status, err := os.ReadFile(filepath.Join(l.rootfs(), "var/lib/dpkg/status"))
	if err != nil {
		return imageTags{}, err
	}
	postgres, err := packageVersion(status, "postgresql-17")
	if err != nil {
		return imageTags{}, err
	}
	pgbouncer, err := packageVersion(status, "pgbouncer")
	if err != nil {
		return imageTags{}, err
	}
	return imageTags{operand: imageOperand + ":" + postgres, pooler: imagePooler + ":" + pgbouncer}, nil
}

// layer is one tar file of an image.
type layer struct {
	path   string // in the archive
	digest string
}

// image is what the archive says of one image.
type image struct {
	tag    string
	layers []layer
	config map[string]any
}

// The two archives of images: what the cluster starts with, and what the
// databases run.
const (
	archiveCore    = "images-core"
	archiveOperand = "images-operand"
)

// postgresPath is where the programs of the operand are.
const postgresPath = "PATH=/usr/lib/postgresql/17/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// images writes both archives.
func (b *builder) images(ctx context.Context) error {
	if err := b.step(ctx, archiveCore, b.archive(archiveCore), b.coreImages); err != nil {
		return err
	}
	return b.step(ctx, archiveOperand, b.archive(archiveOperand), b.operandImages)
}

func (b *builder) coreImages(_ context.Context, target string) error {
	return inWork(target, func(work string) ([]image, error) {
		operator, err := binaryLayer(work, b.bin("cnpg-manager"), "operator/manager_"+runtime.GOARCH, "manager")
		if err != nil {
			return nil, err
		}
		plugin, err := b.pluginLayer(work)
		if err != nil {
			return nil, err
		}
		pause, err := binaryLayer(work, b.bin("pause"), "pause", "")
		return []image{
			{imagePause, []layer{pause}, map[string]any{"Entrypoint": []string{"/pause"}}},
			{imageOperator, []layer{operator}, managerConfig()},
			{imagePlugin, []layer{plugin}, managerConfig()},
		}, err
	})
}

func (b *builder) operandImages(ctx context.Context, target string) error {
	tags, err := readTags(b.layout)
	if err != nil {
		return err
	}
	return inWork(target, func(work string) ([]image, error) {
		base, err := tarLayer(work, "base", func(path string) error {
			cmd := exec.CommandContext(ctx, "tar", "--numeric-owner", "--sort=name", "-C", b.rootfs(), "-cf", path, ".")
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("tar: %w: %s", err, out)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		plugin, err := b.pluginLayer(work)
		env := []string{postgresPath}
		return []image{
			{imageSidecar, []layer{base, plugin}, managerConfig()},
			{tags.operand, []layer{base}, map[string]any{"Env": env, "User": "26"}},
			{tags.pooler, []layer{base}, map[string]any{"Env": env, "User": "998"}},
		}, err
	})
}

// pluginLayer is the same in the plugin's image and in its sidecar's.
func (b *builder) pluginLayer(work string) (layer, error) {
	return binaryLayer(work, b.bin("barman-plugin"), "manager", "")
}

func managerConfig() map[string]any {
	return map[string]any{"Entrypoint": []string{"/manager"}, "WorkingDir": "/", "Env": []string{postgresPath}}
}

// inWork gives the layers a directory for as long as the archive is written.
func inWork(target string, describe func(work string) ([]image, error)) error {
	work := target + ".layers"
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	images, err := describe(work)
	if err != nil {
		return err
	}
	return writeArchive(target, work, images)
}

func tarLayer(work, name string, write func(path string) error) (layer, error) {
	path := filepath.Join(work, name+".tar")
	if err := write(path); err != nil {
		return layer{}, err
	}
	file, err := os.Open(path)
	if err != nil {
		return layer{}, err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return layer{}, err
	}
	return layer{path: name + ".tar", digest: "sha256:" + hex.EncodeToString(sum.Sum(nil))}, nil
}

// binaryLayer is a layer of one static program, with a link to it if asked.
func binaryLayer(work, source, target, link string) (layer, error) {
	return tarLayer(work, filepath.Base(source), func(path string) error {
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		defer file.Close()
		archive := tar.NewWriter(file)
		if dir := filepath.Dir(target); dir != "." {
			header := &tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}
			if err := archive.WriteHeader(header); err != nil {
				return err
			}
		}
		content, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		if err := tarFile(archive, target, content, 0o755); err != nil {
			return err
		}
		if link != "" {
			header := &tar.Header{Typeflag: tar.TypeSymlink, Name: link, Linkname: target, Mode: 0o777}
			if err := archive.WriteHeader(header); err != nil {
				return err
			}
		}
		return archive.Close()
	})
}

func tarFile(archive *tar.Writer, name string, content []byte, mode int64) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: mode}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := archive.Write(content)
	return err
}

// configJSON is the image's own description.
func (i image) configJSON() ([]byte, error) {
	digests := make([]string, 0, len(i.layers))
	for _, l := range i.layers {
		digests = append(digests, l.digest)
	}
	return json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": i.config,
		"rootfs": map[string]any{"type": "layers", "diff_ids": digests},
	})
}

func writeArchive(target, work string, images []image) error {
	file, err := os.Create(target)
	if err != nil {
		return err
	}
	defer file.Close()
	archive := tar.NewWriter(file)
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	var manifest []entry
	written := map[string]bool{}
	for _, i := range images {
		config, err := i.configJSON()
		if err != nil {
			return err
		}
		name := strings.NewReplacer("/", "_", ":", "_").Replace(i.tag) + ".json"
		if err := tarFile(archive, name, config, 0o644); err != nil {
			return err
		}
		e := entry{Config: name, RepoTags: []string{i.tag}}
		for _, l := range i.layers {
			e.Layers = append(e.Layers, l.path)
			if written[l.path] {
				continue
			}
			written[l.path] = true
			if err := tarCopy(archive, l.path, filepath.Join(work, l.path)); err != nil {
				return err
			}
		}
		manifest = append(manifest, e)
	}
	content, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	if err := tarFile(archive, "manifest.json", content, 0o644); err != nil {
		return err
	}
	return archive.Close()
}

func tarCopy(archive *tar.Writer, name, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: 0o644}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, file)
	return err
}
