use std::io::Cursor;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::{Builder, Header};
use tempfile::TempDir;

use super::*;

/// An archive with names exactly as given, which the builder of the library would refuse to write.
fn archive(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = Header::new_gnu();
        let old = header.as_old_mut();
        let bytes = name.as_bytes();
        old.name[..bytes.len().min(100)].copy_from_slice(&bytes[..bytes.len().min(100)]);
        header.set_entry_type(*kind);
        header.set_mode(0o600);
        header.set_size(content.len() as u64);
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn file<'a>(name: &'a str, content: &'a str) -> (&'a str, EntryType, &'a [u8]) {
    (name, EntryType::Regular, content.as_bytes())
}

/// Unpacks into a folder below a fresh one, and checks that nothing but that folder appeared.
fn unpack_fresh(tar: &[u8], limits: &Limits) -> (TempDir, Result<Unpacked, ArchiveError>) {
    let place = TempDir::new().unwrap();
    let result = unpack(Cursor::new(tar), &place.path().join("truss"), limits);
    let names: Vec<_> = fs::read_dir(place.path()).unwrap().map(|item| item.unwrap().file_name()).collect();
    match &result {
        Ok(_) => assert_eq!(names, ["truss"]),
        Err(_) => assert!(names.is_empty(), "{names:?} left behind"),
    }
    (place, result)
}

fn refused(entries: &[(&str, EntryType, &[u8])], part: &str) {
    let (_, result) = unpack_fresh(&archive(entries), &Limits::default());
    let message = result.unwrap_err().to_string();
    assert!(message.contains(part), "{message:?} should say {part:?}");
}

#[test]
fn files_come_out_plain_or_zipped() {
    let tar = archive(&[file("config.yaml", "a: 1"), file("./model/model.py", "x = 1")]);
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(&tar).unwrap();
    for bytes in [tar, zipped.finish().unwrap()] {
        let (place, result) = unpack_fresh(&bytes, &Limits::default());
        assert_eq!(result.unwrap(), Unpacked { files: 2, bytes: 9 });
        assert_eq!(fs::read_to_string(place.path().join("truss/model/model.py")).unwrap(), "x = 1");
        let mode = |path: &str| fs::metadata(place.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("truss"), mode("truss/config.yaml")), (0o755, 0o644));
    }
}

#[test]
fn a_file_its_owner_may_run_stays_so_and_nothing_more() {
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_mode(0o6777);
    header.set_size(0);
    builder.append_data(&mut header, "run.sh", &[][..]).unwrap();
    let (place, result) = unpack_fresh(&builder.into_inner().unwrap(), &Limits::default());
    result.unwrap();
    assert_eq!(fs::metadata(place.path().join("truss/run.sh")).unwrap().permissions().mode() & 0o7777, 0o755);
}

#[test]
fn what_leads_elsewhere_is_refused() {
    refused(&[file("ok", "x"), file("../evil", "x")], "leads out");
    refused(&[file("a/../../evil", "x")], "leads out");
    refused(&[file("/etc/evil", "x")], "absolute");
    refused(&[("link", EntryType::Symlink, b"")], "`link`, which is a symbolic link");
    refused(&[("link", EntryType::Link, b"")], "a hard link");
    refused(&[("pipe", EntryType::Fifo, b"")], "a named pipe");
    refused(&[("disk", EntryType::Block, b"")], "a device");
    refused(&[("tty", EntryType::Char, b"")], "a device");
    refused(&[file("a", "x"), file("a/b", "x")], "both as a file and as a folder");
    refused(&[file("a/b", "x"), file("a", "x")], "both as a file and as a folder");
    refused(&[], "no files");
}

#[test]
fn limits_hold_before_anything_is_written_past_them() {
    let small = Limits { entries: 3, bytes: 10, path_bytes: 20 };
    let refused = |entries: &[_]| unpack_fresh(&archive(entries), &small).1.unwrap_err();
    assert!(matches!(
        refused(&[file("a", "123456"), file("b", "12345")]),
        ArchiveError::TooLarge { limit: 10 }
    ));
    assert!(matches!(refused(&[file("a/b/c/d", "")]), ArchiveError::TooMany { limit: 3 }));
    assert!(matches!(refused(&[file("a-name-of-more-than-twenty", "")]), ArchiveError::Path { .. }));
    let fits = archive(&[file("a", "123456"), file("b", "1234")]);
    assert_eq!(unpack_fresh(&fits, &small).1.unwrap().bytes, 10);
}

#[test]
fn a_sparse_file_counts_with_its_holes() {
    let mut header = Header::new_gnu();
    header.set_path("holes").unwrap();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(0);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_is_extended(false);
    gnu.realsize.copy_from_slice(b"77777777777\0");
    gnu.sparse[0].offset.copy_from_slice(b"77777777777\0");
    gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend([0; 1024]);
    let limits = Limits { bytes: 1_000_000, ..Limits::default() };
    assert!(matches!(unpack_fresh(&bytes, &limits).1, Err(ArchiveError::TooLarge { .. })));
}

#[test]
fn a_name_of_gigabytes_is_refused_early() {
    let mut header = Header::new_gnu();
    header.set_path("././@LongLink").unwrap();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(8_000_000_000);
    header.set_cksum();
    let endless = Cursor::new(header.as_bytes().to_vec()).chain(io::repeat(b'a'));
    let place = TempDir::new().unwrap();
    let error = unpack(endless, &place.path().join("t"), &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("headers are too large"), "{error}");
}

#[test]
fn long_names_come_out_whole_in_both_notations() {
    let long = format!("model/{}/ß.py", "x".repeat(150));
    let header = || {
        let mut header = Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        header
    };
    let mut gnu = Builder::new(Vec::new());
    gnu.append_data(&mut header(), &long, &b"1"[..]).unwrap();
    let mut pax = Builder::new(Vec::new());
    pax.append_pax_extensions([("path", long.as_bytes())]).unwrap();
    pax.append_data(&mut header(), "short", &b"1"[..]).unwrap();
    for builder in [gnu, pax] {
        let (place, result) = unpack_fresh(&builder.into_inner().unwrap(), &Limits::default());
        assert_eq!(result.unwrap().files, 1);
        assert_eq!(fs::read(place.path().join("truss").join(&long)).unwrap(), b"1");
    }
}

#[test]
fn a_long_name_that_leads_out_is_refused() {
    let mut pax = Builder::new(Vec::new());
    pax.append_pax_extensions([("path", &b"a/../../evil"[..])]).unwrap();
    let mut header = Header::new_gnu();
    header.set_size(1);
    pax.append_data(&mut header, "harmless", &b"1"[..]).unwrap();
    let (_, result) = unpack_fresh(&pax.into_inner().unwrap(), &Limits::default());
    assert!(matches!(result, Err(ArchiveError::Path { .. })), "{result:?}");
}

#[test]
fn a_torn_archive_is_refused() {
    let tar = archive(&[file("a", &"x".repeat(2000))]);
    assert!(unpack_fresh(&tar[..1000], &Limits::default()).1.is_err());
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let place = TempDir::new().unwrap();
    fs::write(place.path().join("mine"), "x").unwrap();
    let error =
        unpack(Cursor::new(archive(&[file("a", "x")])), place.path(), &Limits::default()).unwrap_err();
    assert!(matches!(error, ArchiveError::Occupied { .. }));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

fn name() -> impl Strategy<Value = String> {
    let part =
        prop::sample::select(vec!["..", ".", "", "a", "b", "config.yaml", "é", "\u{202e}", "\\", "~", "C:"]);
    prop::collection::vec(part, 1..6).prop_map(|parts| parts.join("/"))
}

fn kind() -> impl Strategy<Value = EntryType> {
    use EntryType::{Char, Directory, Fifo, GNULongName, Link, Regular, Symlink, XHeader};
    prop::sample::select(vec![
        Regular,
        Regular,
        Regular,
        Regular,
        Directory,
        Directory,
        Symlink,
        Link,
        Fifo,
        Char,
        GNULongName,
        XHeader,
    ])
}

proptest! {
    #[test]
    fn nothing_is_ever_written_outside(entries in prop::collection::vec((name(), kind(), ".{0,9}"), 0..8)) {
        let entries: Vec<_> = entries.iter().map(|(n, k, c)| (n.as_str(), *k, c.as_bytes())).collect();
        let (_place, result) = unpack_fresh(&archive(&entries), &Limits::default());
        if entries.iter().any(|(_, k, _)| matches!(k, EntryType::Symlink | EntryType::Link | EntryType::Fifo)) {
            prop_assert!(result.is_err());
        }
    }

    #[test]
    fn any_bytes_are_unpacked_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        unpack_fresh(&bytes, &Limits::default()).1.ok();
    }

    #[test]
    fn a_changed_byte_never_writes_outside(at in 0usize..1536, byte in any::<u8>()) {
        let mut tar = archive(&[file("model/model.py", "x = 1"), file("config.yaml", "")]);
        tar[at] = byte;
        unpack_fresh(&tar, &Limits::default()).1.ok();
    }
}
