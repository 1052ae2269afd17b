// Package slots keeps one small value in a file so that a crash at any moment, or damage to one place of the
// file, leaves a value that was saved.
//
// The file has two slots. A generation counts the values; each is written over the older slot and fsynced, so
// that the one before it stays whole until the new one is on stable storage. A slot is good if its checksum is
// right, and the good slot of the higher generation holds the value. The file comes into being with the first
// Save, under a temporary name, so that a file that is there has a value. Its bytes are those of record.go.
//
// What survives:
//
//	                                                 value after Open        Recovered, or error
//	crash between two Saves                          the last                no
//	crash in the first Save                          the one saved, or none  no
//	crash in a later Save                            the new or the last     no, or yes if the slot is torn
//	newer slot damaged                               the one before          yes
//	older slot damaged                               the last                yes
//	bytes behind the value of a slot damaged         the last                no
//	file cut between the slots                       the last or before      yes
//	both slots damaged, file empty                   none                    ErrLost
//	file removed                                     none                    no
//	fsync failed                                     the new or the last     no, or yes if the slot is torn
//
// A torn Save and damage to a slot look the same from outside. Whoever must not forget what it has acted upon
// therefore reads Recovered as: the last Save that returned without an error may be missing. A value that fits
// with the 20 bytes before it into one sector, 492 bytes, is not torn by disks that write sectors whole.
//
// The caller's duties, in this order:
//
//  1. Open, and treat a store without a value, or with ErrLost, as one that has never been.
//  2. Save before acting on a value; act when Save has returned nil.
//  3. After an error of Save but ErrTooLarge, Close and Open again before anything is done on the strength of
//     the old value or of the new one: either may be what the disk has.
//
// One process at a time may have a file open, and one goroutine at a time may use a File.
package slots

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Errors, returned wrapped; test with errors.Is.
var (
	// ErrLost: the file is there, but none of its slots is good. The store must be treated as a new one, which
	// remembers nothing of what it did before. The File is usable; its first Save replaces the file.
	ErrLost = errors.New("saved state is lost")
	// ErrTooLarge: more than MaxData bytes. Nothing was written, and the File stays usable.
	ErrTooLarge = errors.New("state is too large")
	// ErrBroken: a Save before this one failed. What the disk has is not known until the file is opened again.
	ErrBroken = errors.New("state file must be opened again")
)

// tempExt is behind the name of a file that is being made.
const tempExt = ".tmp"

// File is an open two-slot file.
type File struct {
	disk       disk
	path       string
	handle     handle // nil until the file is made
	generation uint64 // of the value in the file; 0 = none
	recovered  bool
	broken     error // of the Save that failed
}

// Open opens the file at path, whose folder must be there, and returns the value in it: nil and no error if
// there is no file yet; a value of no bytes is not nil. The value is on stable storage when Open returns, even if
// an earlier fsync failed. Errors: ErrLost, with a usable File; others, without one, if the file cannot be read
// or written.
func Open(path string) (*File, []byte, error) { return open(osDisk{}, path) }

func open(d disk, path string) (*File, []byte, error) {
	f := &File{disk: d, path: path}
	h, err := d.open(path, os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open state: %w", err)
	}
	image, unreadable := read(h)
	last, damaged, ok := choose(image)
	switch {
	case !ok && unreadable != nil: // the next attempt may succeed, so nothing is lost yet
		return nil, nil, errors.Join(fmt.Errorf("open state: %w", unreadable), h.Close())
	case !ok:
		if err := h.Close(); err != nil {
			return nil, nil, fmt.Errorf("open state: %w", err)
		}
		return f, nil, fmt.Errorf("open state %s: %w", path, ErrLost)
	}
	// After a failed fsync of an earlier Save, what was read may be in the page cache alone. It is written once
	// more, to its own place: the other slot may be the only one on the disk, and where this one is on the disk
	// too, the same bytes again cannot tear it.
	f.handle, f.generation, f.recovered = h, last.generation, damaged
	err = f.put(last)
	if err == nil {
		err = d.syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open state: %w", err), h.Close())
	}
	return f, slices.Clone(last.data), nil // without the rest of image
}

// read reads both slots; what cannot be read is left zero, which is no good slot. The error is that of a slot
// that is there but was not readable.
func read(h handle) (image []byte, err error) {
	image = make([]byte, 2*slotSize)
	for at := 0; at < len(image); at += slotSize {
		if _, e := h.ReadAt(image[at:at+slotSize], int64(at)); e != nil && !errors.Is(e, io.EOF) {
			clear(image[at : at+slotSize])
			err = e
		}
	}
	return image, err
}

// Recovered tells whether Open found a damaged slot beside the good one, which the next Save mends. The value may
// then be the one before the last.
func (f *File) Recovered() bool { return f.recovered }

// Save makes data, at most MaxData bytes, the value of the file. When it returns nil, data is on stable storage.
// When it fails, the value is data or the one before, and the File refuses everything but Close. Errors:
// ErrTooLarge, ErrBroken, those of the disk.
func (f *File) Save(data []byte) error {
	if f.broken != nil {
		return fmt.Errorf("save state: %w: %w", ErrBroken, f.broken)
	}
	if len(data) > MaxData {
		return fmt.Errorf("save state: %w: %d bytes, at most %d", ErrTooLarge, len(data), MaxData)
	}
	var err error
	if f.handle == nil {
		err = f.create(data)
	} else {
		err = f.put(record{generation: f.generation + 1, data: data})
	}
	if err != nil {
		f.broken = err
		return fmt.Errorf("save state: %w", err)
	}
	return nil
}

// put makes r, over whatever is in its slot, the newest record.
func (f *File) put(r record) error {
	if r.generation > maxGeneration {
		return fmt.Errorf("generation %d: no room for more", f.generation)
	}
	if _, err := f.handle.WriteAt(r.encode(), r.offset()); err != nil {
		return err
	}
	if err := f.handle.Sync(); err != nil {
		return err
	}
	f.generation = r.generation
	return nil
}

// create makes the file with its first value. It has its full length from the start, so that no later Save
// needs new space. A file that was lost is replaced whole: a slot of it that could be read again some day must
// not win against younger ones.
func (f *File) create(data []byte) error {
	first := record{generation: 1, data: data}
	image := make([]byte, 2*slotSize)
	copy(image[first.offset():], first.encode())
	if err := f.write(f.path+tempExt, image); err != nil {
		return err
	}
	if err := f.disk.rename(f.path+tempExt, f.path); err != nil {
		return err
	}
	if err := f.disk.syncDir(filepath.Dir(f.path)); err != nil {
		return err
	}
	h, err := f.disk.open(f.path, os.O_RDWR)
	if err != nil {
		return err
	}
	f.handle, f.generation = h, first.generation
	return nil
}

// write makes a file of image durable, but for its name.
func (f *File) write(path string, image []byte) error {
	h, err := f.disk.open(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = h.WriteAt(image, 0)
	if err == nil {
		err = h.Sync()
	}
	return errors.Join(err, h.Close())
}

// Close closes the file. It saves nothing.
func (f *File) Close() error {
	if f.broken == nil {
		f.broken = fs.ErrClosed
	}
	if f.handle == nil {
		return nil
	}
	err := f.handle.Close()
	f.handle = nil
	if err != nil {
		return fmt.Errorf("close state: %w", err)
	}
	return nil
}
