//! Bytes and texts that were valid once.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What parsers stumble over, put where it does not belong.
const NASTY: [&[u8]; 36] = [
    b"\0",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\r\n",
    b"\n\n",
    b"\t",
    b"../",
    b"%2e%2e%2f",
    b"%",
    b"%00",
    b"\"",
    b"'",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":",
    b":",
    b": ",
    b"- ",
    b"&a *a",
    b"<<: *a",
    b"!!binary",
    b"-1",
    b"99999999999999999999999999",
    b"1e999",
    b"NaN",
    b"null",
    b";",
    b",",
    "\u{202e}\u{1f9ff}\u{301}".as_bytes(),
];

/// One act of mangling. Places are shares of the length, so that shrinking keeps them meaningful.
#[derive(Debug, Clone)]
enum Act {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, &'static [u8]),
    Remove(Index, Index),
    Double(Index, Index),
    /// A part many times over.
    Repeat(Index, Index, u8),
    Cut(Index),
    /// Goes on like another seed.
    Splice(Index, Index, Index),
}

fn act() -> impl Strategy<Value = Act> {
    let place = any::<Index>;
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, byte)| Act::Set(at, byte)),
        (place(), 0u8..8).prop_map(|(at, bit)| Act::Flip(at, bit)),
        (place(), select(NASTY.to_vec())).prop_map(|(at, bytes)| Act::Insert(at, bytes)),
        (place(), place()).prop_map(|(from, to)| Act::Remove(from, to)),
        (place(), place()).prop_map(|(from, to)| Act::Double(from, to)),
        (place(), place(), any::<u8>()).prop_map(|(from, to, times)| Act::Repeat(from, to, times)),
        place().prop_map(Act::Cut),
        (place(), place(), place()).prop_map(|(at, seed, from)| Act::Splice(at, seed, from)),
    ]
}

/// An input grows no longer than this by being repeated.
const LONGEST: usize = 64 * 1024;

fn apply(bytes: &mut Vec<u8>, act: &Act, seeds: &[Vec<u8>]) {
    let place = |at: &Index| at.index(bytes.len() + 1);
    let span = |a: &Index, b: &Index| {
        let (a, b) = (place(a), place(b));
        a.min(b)..a.max(b)
    };
    match act {
        Act::Set(at, byte) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Act::Flip(at, bit) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        Act::Set(..) | Act::Flip(..) => {}
        Act::Insert(at, more) => {
            let at = place(at);
            bytes.splice(at..at, more.iter().copied());
        }
        Act::Remove(a, b) => {
            let span = span(a, b);
            bytes.drain(span);
        }
        Act::Double(a, b) => repeat(bytes, span(a, b), 1),
        Act::Repeat(a, b, times) => {
            let span = span(a, b);
            let short = span.start..span.end.min(span.start + 40);
            repeat(bytes, short, usize::from(*times));
        }
        Act::Cut(at) => {
            let at = place(at);
            bytes.truncate(at);
        }
        Act::Splice(at, seed, from) => {
            let at = place(at);
            let other = &seeds[seed.index(seeds.len())];
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from.index(other.len() + 1)..]);
        }
    }
}

fn repeat(bytes: &mut Vec<u8>, span: std::ops::Range<usize>, times: usize) {
    let part = bytes[span.clone()].to_vec();
    let fits = LONGEST.saturating_sub(bytes.len()).checked_div(part.len()).unwrap_or(0);
    let more = part.repeat(times.min(fits));
    bytes.splice(span.end..span.end, more);
}

/// One of the seeds after up to five acts of mangling; now and then any bytes.
pub fn mangled(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let seeds = Arc::new(seeds);
    let from_seed = (any::<Index>(), vec(act(), 0..=5)).prop_map(move |(seed, acts)| {
        let mut bytes = seeds[seed.index(seeds.len())].clone();
        acts.iter().for_each(|act| apply(&mut bytes, act, &seeds));
        bytes
    });
    prop_oneof![15 => from_seed, 1 => vec(any::<u8>(), 0..200)]
}

/// The same as text; what is no UTF-8 becomes the sign for that.
pub fn mangled_text(seeds: &[&str]) -> impl Strategy<Value = String> + use<> {
    let seeds = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    mangled(seeds).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
