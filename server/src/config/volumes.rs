//! LOCAL_DATA_DIRS: several data directories, each with a name of its own or its path for one.
//! Pure: text in, directories out; no directory is looked at.
//! Invariants: there is at least one; with several no two have one name or one path, and none lies in
//! another, so that a file is in one of them only.

use std::path::{Path, PathBuf};

use benzene_engine::limits::{DATA_DIR_BYTES_MAX, VOLUMES_MAX};
use benzene_engine::schemas::{SchemaError, Schemas};

use super::directories::normal_path;

/// A data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDirectory {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Where it is.
    pub path: PathBuf,
    /// A flag puts it in the place of all that carbon.conf lists: whatever a section names is this one.
    pub takes_all: bool,
}

impl DataDirectory {
    /// One without a name.
    pub fn of(path: PathBuf) -> DataDirectory {
        DataDirectory {
            name: None,
            path,
            takes_all: false,
        }
    }

    /// Is it what a section of storage-schemas.conf calls so, by name or by path?
    pub fn is(&self, text: &str) -> bool {
        let path = normal_path(Path::new(text));
        self.takes_all || self.name.as_deref() == Some(text) || self.path == path
    }

    /// What it is called in a sentence.
    pub fn said(&self) -> String {
        let path = self.path.display();
        match &self.name {
            Some(name) => format!("{name} ({path})"),
            None => path.to_string(),
        }
    }

    /// What it is called where no path can stand: its name, or its path with `_` between the parts.
    pub fn label(&self) -> String {
        let path = || {
            let path = self.path.to_string_lossy();
            let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
            let plain = |letter: char| if is_plain(letter) { letter } else { '_' };
            parts.join("_").chars().map(plain).collect()
        };
        self.name.clone().unwrap_or_else(path)
    }

    /// By what its share of new files is chosen: what stays the same from start to start.
    pub fn key(&self) -> String {
        let path = || self.path.to_string_lossy().into_owned();
        self.name.clone().unwrap_or_else(path)
    }
}

/// Finds the data directories that sections of storage-schemas.conf name; answers every section that
/// names none.
pub fn resolve(schemas: &mut Schemas, data: &[DataDirectory]) -> Vec<SchemaError> {
    let find = |text: &str| data.iter().position(|it| it.is(text));
    let known: Vec<String> = data.iter().map(DataDirectory::said).collect();
    let known = match &known[..] {
        [one] => format!("is only {one} (LOCAL_DATA_DIRS lists several)"),
        several => format!("are {}", several.join(", ")),
    };
    schemas.resolve_volumes(find, &known)
}

fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_')
}

/// The directories of a list as written; `clean` makes paths of texts. Otherwise what is wrong with it,
/// for the operator.
pub(super) fn read(
    text: &str,
    clean: impl Fn(&str) -> PathBuf,
) -> Result<Vec<DataDirectory>, String> {
    let mut directories = Vec::new();
    let entries = text.split([',', '\n']).map(str::trim);
    for entry in entries.filter(|entry| !entry.is_empty()) {
        let (name, path) = match entry.split_once('=') {
            Some((name, path)) if !name.contains('/') => (Some(name.trim()), path.trim()),
            Some(_) | None => (None, entry),
        };
        if let Some(name) = name
            && (name.is_empty() || !name.chars().all(is_plain))
        {
            return Err(format!(
                "`{name}` cannot name a data directory; write letters, digits, - and _ before the ="
            ));
        }
        if !path.starts_with(['/', '~']) {
            return Err(format!(
                "`{path}` is no full path; write each directory as /PATH or NAME=/PATH, with commas \
                 between them"
            ));
        }
        if let Some(next) = looks_like_two(path) {
            return Err(format!(
                "`{next}` looks like a second directory in `{path}`; put a comma between the two"
            ));
        }
        directories.push(DataDirectory {
            name: name.map(str::to_owned),
            path: clean(path),
            takes_all: false,
        });
    }
    check(&directories)?;
    Ok(directories)
}

/// Where in a path another one seems to begin, with a name or without: behind a space, by its slash.
fn looks_like_two(path: &str) -> Option<&str> {
    let mut words = path.split_whitespace().skip(1);
    words.find(|word| {
        let path = match word.split_once('=') {
            Some((name, path)) if name.chars().all(is_plain) => path,
            Some(_) | None => word,
        };
        path.starts_with(['/', '~'])
    })
}

fn check(directories: &[DataDirectory]) -> Result<(), String> {
    if directories.is_empty() {
        return Err(
            "it lists no directory; write each as /PATH or NAME=/PATH, with commas between \
                    them, or put # before the line"
                .to_owned(),
        );
    }
    if directories.len() > VOLUMES_MAX {
        return Err(format!(
            "it lists {} directories, at most {VOLUMES_MAX} can be had; join disks (LVM, md), or run \
             another instance",
            directories.len()
        ));
    }
    for (index, one) in directories.iter().enumerate() {
        let bytes = one.path.as_os_str().len();
        if bytes > DATA_DIR_BYTES_MAX {
            return Err(format!(
                "a path of {bytes} bytes leaves no room for metric names; the longest is \
                 {DATA_DIR_BYTES_MAX}"
            ));
        }
        for other in &directories[..index] {
            if one.label() == other.label() {
                return Err(format!(
                    "two directories are called {}; give them names that differ (NAME=/PATH)",
                    one.label()
                ));
            }
            if one.path.starts_with(&other.path) || other.path.starts_with(&one.path) {
                return Err(format!(
                    "{} and {} are one directory, or one lies in the other; list directories that do \
                     not share files",
                    other.path.display(),
                    one.path.display()
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_plainly(text: &str) -> Result<Vec<DataDirectory>, String> {
        read(text, |text| Path::new(text).to_owned())
    }

    #[test]
    fn directories_have_a_name_or_their_path() {
        // Lines part them too, and a path may have spaces.
        let spaced = read_plainly("/srv/my disk/whisper\n/srv/x").unwrap();
        assert_eq!(spaced[0].path, Path::new("/srv/my disk/whisper"));
        let found = read_plainly("ssd=/srv/nvme/whisper, /srv/disk-1/whisper,\n/srv/a=b").unwrap();
        let said: Vec<String> = found.iter().map(DataDirectory::said).collect();
        assert_eq!(
            said,
            ["ssd (/srv/nvme/whisper)", "/srv/disk-1/whisper", "/srv/a=b"]
        );
        let labels: Vec<String> = found.iter().map(DataDirectory::label).collect();
        assert_eq!(labels, ["ssd", "srv_disk-1_whisper", "srv_a_b"]);
        let is = |name: &str| found.iter().position(|it| it.is(name));
        assert_eq!(is("ssd"), Some(0));
        assert_eq!(is("/srv/nvme/whisper"), Some(0));
        assert_eq!(is("/srv/disk-1/whisper"), Some(1));
        assert_eq!(is("hdd"), None);
    }

    #[test]
    fn a_list_that_cannot_be_meant_is_refused_with_its_mend() {
        for (text, word) in [
            ("", "lists no directory"),
            (" , ", "lists no directory"),
            ("whisper", "no full path"),
            ("ssd=whisper", "no full path"),
            ("s.d=/a", "cannot name"),
            ("=/a", "cannot name"),
            ("a=/x, a=/y", "called a"),
            ("/x, /x", "called x"),
            ("a=/x, b=/x", "one lies in the other"),
            ("/x/y, /x", "one lies in the other"),
            ("/x/y, /x_y", "called x_y"),
            (
                "/x /y",
                "`/y` looks like a second directory in `/x /y`; put a comma",
            ),
            ("a=/x b=/y", "`b=/y` looks like a second"),
            ("/x a=/y, /z", "`a=/y` looks like a second"),
        ] {
            let refused = read_plainly(text).unwrap_err();
            assert!(refused.contains(word), "{text}: {refused}");
        }
        let many: Vec<String> = (0..=VOLUMES_MAX).map(|n| format!("/disk{n}")).collect();
        assert!(read_plainly(&many.join(",")).is_err());
        assert!(read_plainly(&many[1..].join(",")).is_ok());
        let long = format!("/{}", "x".repeat(DATA_DIR_BYTES_MAX));
        assert!(read_plainly(&long).is_err());
    }
}
