//! Existing files against the schemas: each header beside what a new file of that name would get.
//! A difference is no fault: files stay as they were made, as with Python carbon, until somebody
//! resizes them. Files are only read, and only their headers.
//! Of files that differ the first are named and all are counted, so that a million of them is an
//! answer of a page. A name that cannot be told from its path (tagged series, by hash) is counted.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use benzene_engine::limits::CHECK_EXAMPLES_MAX;
use benzene_engine::whisper::{Archive, HEAD_READ_BYTES, Header, Retention};
use serde::Serialize;

use super::Rules;
use super::storage::{method_and_factor, retentions};
use crate::tools::whisper_files::{WhisperFile, WhisperFiles};

/// What the files of a data directory are like.
#[derive(Debug, Default, Serialize)]
pub(super) struct Existing {
    directory: PathBuf,
    /// Whisper files that were found.
    pub(super) files: u64,
    /// Those that a new file would be like.
    agree: u64,
    /// Those with other archives.
    retentions: u64,
    /// Those with another xFilesFactor.
    x_files_factor: u64,
    /// Those with another method.
    method: u64,
    /// Those whose names are hashes.
    unnamed: u64,
    /// Those whose header cannot be read.
    pub(super) unreadable: u64,
    /// Directories that could not be read.
    closed: u64,
    /// The first that differ or cannot be read.
    examples: Vec<Example>,
}

/// A file that differs.
#[derive(Debug, Serialize)]
struct Example {
    file: PathBuf,
    differs: String,
}

impl Existing {
    /// Looks at every file below data directories; what there is in each.
    pub(super) fn below(directories: &[&Path], rules: &Rules) -> Vec<Existing> {
        let of = |directory: &&Path| Existing {
            directory: directory.to_path_buf(),
            ..Existing::default()
        };
        let mut existing: Vec<Existing> = directories.iter().map(of).collect();
        let mut files = WhisperFiles::below(directories);
        for file in files.by_ref() {
            existing[file.root].look(file, rules);
        }
        for (existing, closed) in existing.iter_mut().zip(files.closed()) {
            existing.closed = *closed;
        }
        existing
    }

    /// The data directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// How many differ.
    pub(super) fn differ(&self) -> u64 {
        self.files - self.agree - self.unnamed - self.unreadable
    }

    fn look(&mut self, file: WhisperFile, rules: &Rules) {
        self.files += 1;
        let header = match header(&file.path) {
            Ok(header) => header,
            Err(wrong) => {
                self.unreadable += 1;
                self.example(file.place, wrong);
                return;
            }
        };
        let Some(name) = name(&file.place) else {
            self.unnamed += 1;
            return;
        };
        let differs = self.compare(&name, &header, rules);
        if differs.is_empty() {
            self.agree += 1;
        } else {
            self.example(file.place, differs.join("; "));
        }
    }

    fn compare(&mut self, name: &str, header: &Header, rules: &Rules) -> Vec<String> {
        let mut differs = Vec::new();
        if let Some(file) = &rules.schemas {
            let schema = file.rules.archives(name).rule;
            let one = |archive: &Archive| Retention {
                step_s: archive.step_s,
                points: archive.points,
            };
            let has: Vec<Retention> = header.archives.iter().map(one).collect();
            if has != schema.archives {
                self.retentions += 1;
                differs.push(format!(
                    "has {}, [{}] gives {}",
                    retentions(&has),
                    schema.name,
                    retentions(&schema.archives)
                ));
            }
        }
        let Some(file) = &rules.aggregations else {
            return differs;
        };
        let rule = file.rules.rule(name).rule;
        let (method, factor) = method_and_factor(rule);
        if (header.x_files_factor - factor).abs() > 0.0 {
            self.x_files_factor += 1;
            let (has, section) = (header.x_files_factor, &rule.name);
            differs.push(format!(
                "has xFilesFactor {has}, [{section}] gives {factor}"
            ));
        }
        if header.aggregation != method {
            self.method += 1;
            let (has, section) = (header.aggregation.name(), &rule.name);
            differs.push(format!("has {has}, [{section}] gives {}", method.name()));
        }
        differs
    }

    fn example(&mut self, file: PathBuf, differs: String) {
        if self.examples.len() < CHECK_EXAMPLES_MAX {
            self.examples.push(Example { file, differs });
        }
    }

    /// A line for each example, and the counts.
    pub(super) fn text(&self) -> String {
        let one = |example: &Example| {
            let (file, differs) = (example.file.display(), &example.differs);
            format!("differs  {file}: {differs}\n")
        };
        let examples: String = self.examples.iter().map(one).collect();
        let Existing {
            files,
            agree,
            unnamed,
            unreadable,
            ..
        } = self;
        let counts = format!(
            "files    {}: {files} Whisper files; {agree} are as new ones would be; {} have other \
             retentions, {} another xFilesFactor, {} another method; {unreadable} cannot be read; \
             {unnamed} are tagged and named by a hash, so that their sections cannot be told\n",
            self.directory.display(),
            self.retentions,
            self.x_files_factor,
            self.method,
        );
        let closed = match self.closed {
            0 => String::new(),
            closed => format!("files    {closed} directories cannot be read\n"),
        };
        examples + &counts + &closed
    }
}

/// The header of a file, or why it is none.
fn header(path: &Path) -> Result<Header, String> {
    let mut head = vec![0; usize::try_from(HEAD_READ_BYTES).unwrap_or(usize::MAX)];
    let read = |head: &mut Vec<u8>| -> io::Result<()> {
        let mut file = File::open(path)?;
        let wanted = u64::try_from(head.len()).unwrap_or(u64::MAX);
        head.clear();
        file.by_ref().take(wanted).read_to_end(head)?;
        Ok(())
    };
    read(&mut head).map_err(|error| error.to_string())?;
    if let Some(needed) = Header::needed_bytes(&head) {
        head.resize(needed, 0);
        read(&mut head).map_err(|error| error.to_string())?;
    }
    Header::parse(&head).map_err(|error| error.to_string())
}

/// The metric of a file; None where its name is a hash.
fn name(relative: &Path) -> Option<String> {
    let path = relative.with_extension("");
    let parts: Vec<&str> = path
        .iter()
        .map(|part| part.to_str())
        .collect::<Option<_>>()?;
    if parts.first() != Some(&"_tagged") {
        return Some(parts.join("."));
    }
    let leaf = parts.last()?;
    leaf.contains(';').then(|| leaf.replace("_DOT_", "."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_paths_unless_they_are_hashes() {
        for (path, want) in [
            ("a/b/c.wsp", Some("a.b.c")),
            ("a.wsp", Some("a")),
            ("_tagged/eff/aae/m_DOT_x;a=1.wsp", Some("m.x;a=1")),
            ("_tagged/eff/aae/effaae5b55950b15.wsp", None),
        ] {
            assert_eq!(name(Path::new(path)).as_deref(), want, "{path}");
        }
    }
}
