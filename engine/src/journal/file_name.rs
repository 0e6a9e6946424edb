//! Names of the journal's files: `EEEEEEEE-SSSSS-NNNNNNNN.points`, epoch, shard and number of the
//! file in decimal. They keep files apart and say which epochs there were; what a segment is, the
//! heads of its blocks say.
//! Invariant: a name that is read is written the same again, so that no two names mean one file.

use std::fmt;

use super::block::Kind;

/// What the name of a segment's file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName {
    /// The run of the daemon that made it.
    pub epoch: u32,
    /// The shard that made it.
    pub shard: u16,
    /// Number of the file in its stream, of both kinds together.
    pub number: u32,
    /// Points or names.
    pub kind: Kind,
}

impl fmt::Display for FileName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extension = extension(self.kind);
        let FileName {
            epoch,
            shard,
            number,
            ..
        } = self;
        write!(formatter, "{epoch:08}-{shard:05}-{number:08}.{extension}")
    }
}

impl FileName {
    /// What a name says; `None` for files that are no segments.
    pub fn parse(name: &str) -> Option<FileName> {
        let (numbers, ending) = name.split_once('.')?;
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| extension(*kind) == ending)?;
        let mut numbers = numbers.split('-');
        let found = FileName {
            epoch: numbers.next()?.parse().ok()?,
            shard: numbers.next()?.parse().ok()?,
            number: numbers.next()?.parse().ok()?,
            kind,
        };
        (found.to_string() == name).then_some(found)
    }
}

const fn extension(kind: Kind) -> &'static str {
    match kind {
        Kind::Points => "points",
        Kind::Names => "names",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let name = FileName {
            epoch: 12,
            shard: 3,
            number: 45,
            kind: Kind::Points,
        };
        assert_eq!(name.to_string(), "00000012-00003-00000045.points");
        let largest = FileName {
            epoch: u32::MAX,
            shard: u16::MAX,
            number: u32::MAX,
            kind: Kind::Names,
        };
        for name in [name, largest] {
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
    }

    #[test]
    fn other_files_are_none() {
        for other in [
            "lock",
            "",
            "00000012-00003-00000045.point",
            "00000012-00003-00000045.points~",
            "12-3-45.points",
            "+0000012-00003-00000045.points",
            "00000012-00003.points",
            "00000012-00003-00000045-0.names",
            "99999999999-00003-00000045.names",
        ] {
            assert_eq!(FileName::parse(other), None, "{other:?}");
        }
    }
}
