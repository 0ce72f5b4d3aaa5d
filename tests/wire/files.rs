//! Files on their way from the disk to the client.

use std::{fs::File, os::unix::fs::FileExt as _};

use super::{Place, builder, content, everywhere, get};
use crate::support::{Client, process};

const MIB: u64 = 1 << 20;

#[test]
fn a_part_of_a_file_is_a_part_of_its_bytes() {
    const SIZE: usize = 300_000;
    for more in [&[][..], &["--no-sendfile"]] {
        everywhere(more, &[("file", &content(SIZE, 0))], |place| {
            let mut client = place.connect();
            for (start, size) in [(0, SIZE), (0, 1), (0, 0), (1, 65_535), (65_536, 65_537), (SIZE - 1, 1), (SIZE, 0)] {
                let response = client.get(&format!("/file?{start},{size}"));
                assert_eq!(response.field("content-length"), Some(size.to_string().as_str()), "{}", place.name);
                assert!(response.whole && response.body == content(size, start), "{}: {start} {size}", place.name);
            }
            // The end of the file is behind it, and behind that there is nothing.
            assert!(client.get("/file?5").body == content(SIZE - 5, 5), "{}", place.name);
            assert_eq!(client.get("/file?400000").body.len(), 0, "{}", place.name);
        });
    }
}

#[test]
fn a_file_that_is_too_short_is_not_taken_for_the_whole() {
    everywhere(&[], &[("file", &content(1000, 0))], |place| {
        for (start, size) in [(0, 1001), (999, 2), (1000, 1), (5000, 1)] {
            let mut client = place.connect();
            let response = client.get(&format!("/file?{start},{size}"));
            assert!(
                !response.whole && response.body == content(1000_usize.saturating_sub(start), start),
                "{}",
                place.name
            );
            assert!(client.is_closed(), "{}", place.name);
        }
    });
}

#[test]
fn a_file_that_says_it_is_empty_is_read_all_the_same() {
    let version = std::fs::read("/proc/version").expect("it is there");
    assert_eq!(std::fs::metadata("/proc/version").expect("it is there").len(), 0);
    let show = |place: &Place| {
        let mut client = place.connect();
        for path in ["/proc", "/file?0", "/file"] {
            let wanted: &[u8] = if path == "/proc" { &version } else { b"" };
            assert_eq!(client.get(path).body, wanted, "{}", place.name);
        }
    };
    everywhere(&[], &[("file", b"")], show);
}

/// Asks for the file, and waits until some of it has come.
fn begin(place: &Place) -> Client {
    let mut client = place.connect();
    client.send(get("/file"));
    assert!(process::holds(|| client.has_come()), "{}: nothing comes", place.name);
    client
}

#[test]
fn a_file_that_shrinks_on_its_way_is_not_taken_for_the_whole() {
    everywhere(&[], &[("file", b"")], |place| {
        let file = File::options().write(true).open(place.server.directory().join("file")).expect("it is there");
        file.set_len(100 * MIB).expect("the file can be written");
        let mut client = begin(place);
        file.set_len(30 * MIB).expect("the file can be written");
        let response = client.response("GET");
        assert!(!response.whole && response.body.len() as u64 <= 30 * MIB, "{}", place.name);
        let said = "What is left of an answer cannot be read: the file became shorter while it was sent.";
        place.server.wait_for_log(said);
        assert_eq!(place.connect().get("/hello").text(), "hello", "{}", place.name);
        // The next is told its length as it is now.
        file.set_len(10).expect("the file can be written");
        assert_eq!(place.connect().get("/file").body, [0; 10], "{}", place.name);
    });
}

#[test]
fn a_file_that_grows_and_goes_on_its_way_is_sent_as_it_was() {
    everywhere(&[], &[("file", b"")], |place| {
        let path = place.server.directory().join("file");
        let file = File::create(&path).expect("the file can be written");
        file.set_len(50 * MIB).expect("the file can be written");
        let mut client = begin(place);
        file.write_all_at(b"more", 50 * MIB).expect("the file can be written");
        std::fs::remove_file(&path).expect("it is there");
        let response = client.response("GET");
        assert!(response.whole && response.body.len() as u64 == 50 * MIB, "{}", place.name);
        assert_eq!(client.get("/hello").text(), "hello", "{}", place.name);
        assert_eq!(client.get("/file").status, 500, "{}: it is gone", place.name);
        assert_eq!(client.get("/hello").text(), "hello", "{}", place.name);
    });
}

/// sendfile(2) takes less than 2 GiB at a time, and others count in 32 bits.
#[test]
fn a_file_may_be_larger_than_2_gib() {
    let server = builder().start();
    let file = File::create(server.directory().join("file")).expect("the file can be written");
    let size = 2_300 * MIB;
    file.write_all_at(b"the end", size - 7).expect("the file can be written");
    let mut client = server.connect();
    client.send(get("/file"));
    let mut last = Vec::new();
    let (mut came, mut head) = (0, None);
    while head.is_none_or(|head| came < head + size) {
        let some = client.read_some().expect("it comes");
        assert!(!some.is_empty(), "{came} bytes have come");
        if head.is_none() {
            let text = String::from_utf8_lossy(&some);
            assert!(text.contains(&format!("Content-Length: {size}\r\n")), "{text}");
            head = text.find("\r\n\r\n").map(|end| end as u64 + 4);
        }
        came += some.len() as u64;
        last = some;
    }
    assert_eq!(head.map(|head| came - head), Some(size));
    assert!(last.ends_with(b"the end"), "{last:?}");
    // Behind 4 GiB too.
    file.write_all_at(b"far away", 5 << 30).expect("the file can be written");
    assert_eq!(client.get(&format!("/file?{},8", 5_u64 << 30)).text(), "far away");
}

#[test]
fn what_was_written_to_a_file_is_sent() {
    everywhere(&[], &[("rewritten", b"")], |place| {
        for _ in 0..3 {
            std::fs::write(place.server.directory().join("rewritten"), "old! and more")
                .expect("the file can be written");
            assert_eq!(place.connect().get("/rewritten").text(), "new! and more", "{}", place.name);
        }
    });
}
