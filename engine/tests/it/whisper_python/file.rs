//! Our side: plans and fetches carried out on a file in memory, round by round, as the writer
//! carries them out on a disk. Never reads what was not asked for, never writes but the pieces.
//! A round too many or a piece outside the file fails the test.

use std::fmt::Write as _;

use benzene_engine::point::Point;
use benzene_engine::ring::ByteRange;
use benzene_engine::whisper::{
    FetchAnswer, FetchRequest, Header, Image, NEED_ROUNDS_MAX, Outcome, Plan, fetch, plan,
};

use super::bits;

/// Our side: plans carried out on a file in memory.
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
}

impl File {
    pub(super) fn new(header: &Header) -> Self {
        let mut bytes = header.encode();
        bytes.resize(usize::try_from(header.file_bytes()).unwrap(), 0);
        Self { bytes }
    }

    fn read(&self, image: &mut Image, range: ByteRange) {
        let start = usize::try_from(range.offset).unwrap();
        let end = (start + range.len as usize).min(self.bytes.len());
        image.add(range, self.bytes[start..end].to_vec());
    }

    pub(super) fn update(
        &mut self,
        header: &Header,
        batch: &[Point],
        now: u32,
        head: u32,
    ) -> Outcome {
        let mut image = Image::new();
        self.read(
            &mut image,
            ByteRange {
                offset: 0,
                len: head,
            },
        );
        assert_eq!(Header::parse(&self.bytes).as_ref(), Ok(header));
        for round in 0.. {
            match plan(header, batch, now, &image).unwrap() {
                Plan::Need(ranges) => {
                    assert!(round < NEED_ROUNDS_MAX, "{ranges:?}");
                    for range in ranges {
                        self.read(&mut image, range);
                    }
                }
                Plan::Write { pieces, outcome } => {
                    for piece in pieces {
                        let start = usize::try_from(piece.offset).unwrap();
                        self.bytes[start..][..piece.bytes.len()].copy_from_slice(&piece.bytes);
                    }
                    return outcome;
                }
            }
        }
        unreachable!("the rounds are counted")
    }

    /// The answer in the oracle's words.
    pub(super) fn fetch(&self, header: &Header, request: FetchRequest) -> String {
        let Some(fetch) = fetch(header, request).unwrap() else {
            return "none".to_owned();
        };
        let mut image = Image::new();
        for _ in 0..3 {
            match fetch.answer(&image).unwrap() {
                FetchAnswer::Need(ranges) => {
                    for range in ranges {
                        self.read(&mut image, range);
                    }
                }
                FetchAnswer::Series(series) => {
                    let mut words =
                        format!("{} {} {}", series.from_s, series.until_s, series.step_s);
                    for value in series.values {
                        match value {
                            Some(value) => write!(words, " {:016x}", bits(value)).unwrap(),
                            None => words.push_str(" -"),
                        }
                    }
                    return words;
                }
            }
        }
        panic!("more than two rounds for {request:?}")
    }
}
