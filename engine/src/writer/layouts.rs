//! What files looked like when they were last read: their layout and where their first archives
//! begin, so that the next visit asks for all that its plan will need together with the open of the
//! file, and a header that is the same needs no parsing.
//! Saves planning, never a check: what is read on the descriptor decides, and a memory that is wrong
//! (the file was resized, replaced, made anew; the number is another series' by now) costs one more
//! read (docs/decisions/0014).
//! Bounded: sixteen bytes a series that was written, counted in MAX_CACHE_BYTES, and `LAYOUTS_MAX`
//! layouts; files of further ones are read as if seen for the first time.

use crate::cache::SeriesId;
use crate::limits::{
    BASES_REMEMBERED, LAYOUTS_MAX, READ_GAP_MAX, UPDATE_READ_BYTES_MAX, WHOLE_READ_BYTES,
};
use crate::point::Point;
use crate::ring::ByteRange;
use crate::whisper::{
    Bases, HEAD_READ_BYTES, Header, Image, Kept, Plan, Planner, codec, kept, merge, window_bytes,
    witness,
};

/// The stretch that every visit reads first.
pub(super) const HEAD: ByteRange = ByteRange {
    offset: 0,
    len: HEAD_READ_BYTES,
};

/// How many of its points an update may have, where for all of them it would read these stretches; None:
/// all. A single one reads what it must, and those that share its windows, or lie in the next ones, with it.
pub(super) fn fewer(header: &Header, ranges: &[ByteRange], points: usize) -> Option<u32> {
    let total = ByteRange::total(ranges);
    if points < 2 || total <= UPDATE_READ_BYTES_MAX {
        return None;
    }
    let most = UPDATE_READ_BYTES_MAX + 2 * window_bytes(header).sum::<u64>();
    let points = points as u64;
    let share = (points * most / total).clamp(1, points / 2);
    (total > most).then(|| u32::try_from(share).unwrap_or(u32::MAX))
}

/// A layout that files have.
#[derive(Debug)]
struct Layout {
    header: Header,
    /// The header as it stands in the file.
    bytes: Vec<u8>,
}

/// What was last seen of a series' file.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Timestamps in the first slots of the first archives: they decide which slot a second has.
    /// They change by whole rounds of an archive, which leave every slot where it is.
    bases: Bases,
    layout: u32,
}

impl Seen {
    const NOTHING: Self = Self {
        bases: [0; BASES_REMEMBERED],
        layout: u32::MAX,
    };
}

impl Seen {
    /// Notes the bases of which something was read; the others stay as they were.
    fn note(&mut self, header: &Header, image: &Image) {
        let numbers = 0..header.archives.len();
        for (seen, number) in self.bases.iter_mut().zip(numbers) {
            if let Some(base) = image.base(header, number) {
                *seen = base;
            }
        }
    }
}

/// What was last seen of the files of a shard.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    layouts: Vec<Layout>,
    /// By number of the series.
    seen: Vec<Seen>,
}

impl Layouts {
    /// All of a series' file in one stretch, where it is small enough or was never seen: on a disk
    /// with heads this costs no more than a page of it does. None of a file that is known to be larger.
    pub(super) fn whole(&self, series: SeriesId) -> Option<ByteRange> {
        let seen = self.seen.get(series.0 as usize);
        let layout = seen.and_then(|seen| self.layouts.get(seen.layout as usize));
        let bytes = layout.map_or(WHOLE_READ_BYTES, |layout| layout.header.file_bytes());
        let len = u32::try_from(bytes).ok()?;
        (bytes <= WHOLE_READ_BYTES).then_some(ByteRange { offset: 0, len })
    }

    /// What an update with these points will most likely read of a series' file, its head first;
    /// `written` is the newest of those written a moment ago. The head alone where the points need more
    /// than an update reads.
    pub(super) fn foresee(
        &self,
        series: SeriesId,
        (points, written): (&[Point], Option<Point>),
        (now, planner): (u32, &mut Planner),
    ) -> Vec<ByteRange> {
        let mut ranges = vec![HEAD];
        let Some(seen) = self.seen.get(series.0 as usize) else {
            return ranges;
        };
        let Some(Layout { header, .. }) = self.layouts.get(seen.layout as usize) else {
            return ranges;
        };
        let image = Image::foreseen(seen.bases);
        if let Ok(Plan::Need(needs)) = planner.plan(header, points, now, &image) {
            ranges.extend(needs);
        }
        if let Some(written) = written
            && let Kept::Unread(range) = kept(header, &[written], now, &image)
        {
            ranges.push(range);
        }
        let bases = header.archives.iter().zip(seen.bases).enumerate();
        for (number, (archive, base)) in bases {
            // The first base is read with the head. Where there is no coarser archive, its slots
            // show how far the file reaches.
            let is_wanted = base != 0 && (number > 0 || header.archives.len() == 1);
            ranges.extend(is_wanted.then(|| witness(archive, base, points)).flatten());
        }
        merge(&mut ranges, READ_GAP_MAX);
        match fewer(header, &ranges, points.len()) {
            Some(_) => vec![HEAD],
            None => ranges,
        }
    }

    /// The bases that a series' file had.
    pub(super) fn bases(&self, series: SeriesId) -> Bases {
        let seen = self.seen.get(series.0 as usize);
        seen.unwrap_or(&Seen::NOTHING).bases
    }

    /// The header that a series' file had when it was last read.
    pub(super) fn header(&self, series: SeriesId) -> Option<&Header> {
        let seen = self.seen.get(series.0 as usize)?;
        self.layouts
            .get(seen.layout as usize)
            .map(|layout| &layout.header)
    }

    /// Seconds a point of the second archive of a series' file, as it was when it was last read.
    pub(super) fn second_step_s(&self, series: SeriesId) -> Option<u32> {
        Some(self.header(series)?.archives.get(1)?.step_s)
    }

    /// The header with which a file begins that reads so, if it is the one seen last; where its
    /// archives begin is noted anew.
    pub(super) fn same(&mut self, series: SeriesId, image: &Image) -> Option<&Header> {
        let seen = self.seen.get_mut(series.0 as usize)?;
        let layout = self.layouts.get(seen.layout as usize)?;
        if !image.head().starts_with(&layout.bytes) {
            return None;
        }
        seen.note(&layout.header, image);
        Some(&layout.header)
    }

    /// Notes what a series' file looks like: its header, and what was read of it.
    pub(super) fn note(&mut self, series: SeriesId, header: &Header, image: &Image) {
        let index = series.0 as usize;
        if self.seen.len() <= index {
            self.seen.resize(index + 1, Seen::NOTHING);
        }
        let Some(layout) = self.number(header) else {
            // What was seen before is no more.
            self.seen[index] = Seen::NOTHING;
            return;
        };
        self.seen[index] = Seen {
            layout,
            ..Seen::NOTHING
        };
        self.seen[index].note(header, image);
    }

    /// The number of a layout, which may be a new one; none where there are too many, or where its
    /// first base is not in what is read first.
    fn number(&mut self, header: &Header) -> Option<u32> {
        let found = self.layouts.iter().position(|l| l.header == *header);
        let index = found.unwrap_or(self.layouts.len());
        if found.is_none() {
            let bytes = header.encode();
            let is_read = bytes.len() + codec::POINT_BYTES <= HEAD_READ_BYTES as usize;
            if index >= LAYOUTS_MAX || !is_read {
                return None;
            }
            let header = header.clone();
            self.layouts.push(Layout { header, bytes });
        }
        u32::try_from(index).ok()
    }

    /// Bytes that grow with the number of series.
    pub(super) fn bytes(&self) -> usize {
        self.seen.capacity() * size_of::<Seen>()
    }
}
