//! Frames as Python 3 pickles them: a list of (metric, (timestamp, value)), both numbers floats,
//! and everything else put into the memo.

use benzene_engine::point::Point;

/// Which of Python's pickle protocols.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    /// What carbon's own client sends.
    Two,
    /// Python's default.
    Four,
}

/// Appends one pickle of these points.
pub(crate) fn push_pickled<'n>(
    out: &mut Vec<u8>,
    protocol: Protocol,
    points: impl Iterator<Item = (&'n str, Point)>,
) {
    let mut memo = Memo { protocol, puts: 0 };
    let mut list = vec![b']'];
    memo.put(&mut list);
    list.push(b'(');
    for (name, point) in points {
        let Ok(length) = u8::try_from(name.len()) else {
            panic!("{name:?} has more than 255 bytes");
        };
        match protocol {
            Protocol::Two => list.extend([b'X', length, 0, 0, 0]),
            Protocol::Four => list.extend([0x8c, length]),
        }
        list.extend(name.as_bytes());
        memo.put(&mut list);
        for float in [f64::from(point.timestamp), point.value] {
            list.push(b'G');
            list.extend(float.to_be_bytes());
        }
        for _ in 0..2 {
            list.push(0x86);
            memo.put(&mut list);
        }
    }
    list.extend(b"e.");
    match protocol {
        Protocol::Two => out.extend([0x80, 2]),
        Protocol::Four => {
            out.extend([0x80, 4, 0x95]);
            out.extend((list.len() as u64).to_le_bytes());
        }
    }
    out.extend(list);
}

/// Numbers what is put into the memo.
struct Memo {
    protocol: Protocol,
    puts: u32,
}

impl Memo {
    fn put(&mut self, list: &mut Vec<u8>) {
        match (self.protocol, u8::try_from(self.puts)) {
            (Protocol::Four, _) => list.push(0x94),
            (Protocol::Two, Ok(index)) => list.extend([b'q', index]),
            (Protocol::Two, Err(_)) => {
                list.push(b'r');
                list.extend(self.puts.to_le_bytes());
            }
        }
        self.puts += 1;
    }
}
