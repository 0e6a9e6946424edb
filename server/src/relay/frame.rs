//! Points as carbon-relay sends them: a frame that is a pickle of protocol 2, a list of
//! (name, (timestamp, value)) with both numbers as doubles, without memo.
//! Pure; how many points a frame has is the caller's (MAX_DATAPOINTS_PER_MESSAGE).

use benzene_engine::point::Point;

/// Appends a frame of these points, header included.
pub(super) fn encode(points: &[(String, Point)], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(b"\x80\x02](");
    for (name, point) in points {
        out.push(b'X');
        out.extend_from_slice(&short(name.len()).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.push(b'G');
        out.extend_from_slice(&f64::from(point.timestamp).to_be_bytes());
        out.push(b'G');
        out.extend_from_slice(&point.value.to_be_bytes());
        out.extend_from_slice(b"\x86\x86");
    }
    out.extend_from_slice(b"e.");
    let length = short(out.len() - start - 4);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn short(length: usize) -> u32 {
    let Ok(length) = u32::try_from(length) else {
        unreachable!("a frame of {length} bytes")
    };
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_byte_for_byte_what_pickle_without_memo_makes() {
        let points = [(
            "a.b".to_owned(),
            Point {
                timestamp: 1_422_797_285,
                value: 42.17,
            },
        )];
        let mut out = Vec::new();
        encode(&points, &mut out);
        let want =
            b"\x80\x02](X\x03\x00\x00\x00a.bGA\xd53\x8ay@\x00\x00G@E\x15\xc2\x8f\\(\xf6\x86\x86e.";
        assert_eq!(out[4..], want[..]);
        assert_eq!(out[..4], u32::try_from(want.len()).unwrap().to_be_bytes());
    }
}
