//! The grammar of carbon's configuration files, as Python 3's `ConfigParser` reads them.
//! Sections in file order, keys without regard to case, `=` or `:`, whole-line comments with `#`
//! or `;` and no others, indented lines continue a value, `%(key)s` and `%%` in values, `[DEFAULT]`
//! for every section. The same section or the same key twice is refused, as there.
//! Never reads a file, never looks at the environment, never decides what a key means.
//! Invariant: keys are unique within a section, sections within a file; line numbers count from 1.
//! On failure: a typed error with the line and what to do about it; nothing of the file is used.
//! `survey` alone reads on, so that a file can be mended in one go.

mod error;

use hashbrown::HashMap;

pub use error::IniError;

use crate::limits::{INI_FAULTS_MAX, INI_REFERENCE_DEPTH_MAX, INI_VALUE_BYTES_MAX};

/// The section whose entries stand in for keys that another section lacks.
pub const DEFAULT_SECTION: &str = "DEFAULT";

/// What some editors put before the first letter of a file in Unicode.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A parsed file. Values are kept raw; `get` and `values` resolve their `%(key)s` references.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IniFile {
    defaults: Section,
    /// How many sections stand above the `[DEFAULT]` that is alone on its line, where there is one.
    defaults_at: usize,
    sections: Vec<Section>,
}

/// One `[name]` and its entries in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Name as written, case and inner spaces kept.
    pub name: String,
    /// Line of the `[name]`; 0 for a `[DEFAULT]` that the file lacks.
    pub line: usize,
    /// Whether nothing follows the name on its line: Python carbon takes no other section of its rules
    /// (`OrderedConfigParser.sections`, carbon 1.1.10), though it takes those of carbon.conf.
    pub is_alone: bool,
    entries: Vec<Entry>,
}

/// One `key = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Key as written.
    pub key: String,
    /// Value before references are resolved; continuation lines are joined with `\n`.
    pub value: String,
    /// Line of the key.
    pub line: usize,
    folded: String,
}

impl IniFile {
    /// Reads a whole file's text.
    pub fn parse(text: &str) -> Result<IniFile, IniError> {
        let (file, mut faults) = Self::survey(text);
        if faults.is_empty() {
            Ok(file)
        } else {
            Err(faults.swap_remove(0))
        }
    }

    /// Reads a whole file's text past whatever is wrong with it, for whoever checks one: what could
    /// be understood, and the faults in the order of their lines, `INI_FAULTS_MAX` at most.
    pub fn survey(text: &str) -> (IniFile, Vec<IniError>) {
        let mut faults = Vec::new();
        let text = match text.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => {
                faults.push(IniError::ByteOrderMark { line: 1 });
                rest
            }
            None => text,
        };
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut reader = Reader::default();
        for (index, line) in text.split('\n').enumerate() {
            if let Err(fault) = reader.take(index + 1, line) {
                faults.push(fault);
            }
            if faults.len() == INI_FAULTS_MAX {
                break;
            }
        }
        let mut file = reader.file;
        let lent = file.defaults.entries.iter_mut();
        for entry in lent.chain(
            file.sections
                .iter_mut()
                .flat_map(|section| &mut section.entries),
        ) {
            let kept = entry.value.trim_end_matches(python_space).len();
            entry.value.truncate(kept);
        }
        (file, faults)
    }

    /// The sections in the order of the file, without `[DEFAULT]`.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The sections as Python carbon goes over the rules of its storage files: in the order of the file,
    /// and `[DEFAULT]` is one of them, in the place where it first stands alone on its line.
    pub fn rules(&self) -> impl Iterator<Item = &Section> {
        let (above, below) = self.sections.split_at(self.defaults_at);
        let listed = self.defaults.is_alone.then_some(&self.defaults);
        above.iter().chain(listed).chain(below)
    }

    /// The entries of `[DEFAULT]`, which every section has unless it sets them itself.
    pub fn defaults(&self) -> &Section {
        &self.defaults
    }

    /// The section of that name, `[DEFAULT]` too where the file has one; case counts.
    pub fn section(&self, name: &str) -> Option<&Section> {
        let defaults = (self.defaults.line > 0).then_some(&self.defaults);
        let mut all = self.sections.iter().chain(defaults);
        all.find(|section| section.name == name)
    }

    /// The value of a key with its references resolved, from the section or else from `[DEFAULT]`;
    /// None where neither sets it or the section is missing. Case does not count in `key`.
    pub fn get(&self, section: &str, key: &str) -> Result<Option<String>, IniError> {
        self.get_with(section, key, &[])
    }

    /// As `get`; references may also name a key of `fallbacks` (key, value), which Python does not
    /// offer. The section wins over `[DEFAULT]`, and that over `fallbacks`, whose values are taken
    /// as they stand.
    pub fn get_with(
        &self,
        section: &str,
        key: &str,
        fallbacks: &[(&str, &str)],
    ) -> Result<Option<String>, IniError> {
        let Some(section) = self.section(section) else {
            return Ok(None);
        };
        let scope = Scope {
            section,
            defaults: &self.defaults,
            fallbacks,
        };
        let folded = key.to_lowercase();
        scope
            .entry(&folded)
            .map(|entry| scope.resolve(entry))
            .transpose()
    }

    /// Every key of a section and of `[DEFAULT]`, in lower case, with references resolved, as
    /// Python's `items()`: those of `[DEFAULT]` first. One that cannot be resolved fails them all,
    /// as there.
    pub fn values(&self, section: &Section) -> Result<Vec<(String, String)>, IniError> {
        let scope = Scope {
            section,
            defaults: &self.defaults,
            fallbacks: &[],
        };
        let inherited = self
            .defaults
            .entries
            .iter()
            .filter(|e| section.entry(&e.folded).is_none());
        inherited
            .chain(&section.entries)
            .map(|entry| Ok((entry.folded.clone(), scope.resolve(entry)?)))
            .collect()
    }

    /// Where a key stands that `get` finds, else where the section begins: for messages.
    pub fn line(&self, section: &Section, key: &str) -> usize {
        let folded = key.to_lowercase();
        let entry = section
            .entry(&folded)
            .or_else(|| self.defaults.entry(&folded));
        entry.map_or(section.line, |entry| entry.line)
    }
}

impl Section {
    /// The entries in the order of the file, without those that `[DEFAULT]` lends.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn entry(&self, folded: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.folded == folded)
    }
}

/// Where entries go while the file is read.
#[derive(Clone, Copy)]
enum Place {
    Defaults,
    Section(usize),
}

/// The reader's state between lines.
#[derive(Default)]
struct Reader {
    file: IniFile,
    place: Option<Place>,
    /// Whether an entry of this section is open for continuation lines.
    open: bool,
    /// Indentation, in characters, of the last line that continued nothing.
    indent: usize,
    section_lines: HashMap<String, usize>,
    key_lines: HashMap<(Option<usize>, String), usize>,
}

impl Reader {
    fn take(&mut self, line: usize, text: &str) -> Result<(), IniError> {
        let value = text.trim_matches(python_space);
        if value.starts_with(['#', ';']) {
            return Ok(());
        }
        if value.is_empty() {
            self.continue_value("");
            return Ok(());
        }
        let indent = text.chars().take_while(|c| python_space(*c)).count();
        if self.open && indent > self.indent {
            self.continue_value(value);
            return Ok(());
        }
        self.indent = indent;
        if let Some(name) = section_head(value) {
            return self.open_section(line, name, value.ends_with(']'));
        }
        match self.place {
            Some(place) => self.add_entry(line, value, place),
            None if value.starts_with('[') => Err(IniError::OpenHead {
                line,
                text: excerpt(value),
            }),
            None => Err(IniError::NoSection {
                line,
                text: excerpt(value),
            }),
        }
    }

    fn open_section(&mut self, line: usize, name: &str, is_alone: bool) -> Result<(), IniError> {
        self.open = false;
        if name == DEFAULT_SECTION {
            let defaults = &mut self.file.defaults;
            if defaults.line == 0 {
                name.clone_into(&mut defaults.name);
                defaults.line = line;
            }
            if is_alone && !defaults.is_alone {
                defaults.is_alone = true;
                self.file.defaults_at = self.file.sections.len();
            }
            self.place = Some(Place::Defaults);
            return Ok(());
        }
        if let Some(first_line) = self.section_lines.get(name).copied() {
            let mut sections = self.file.sections.iter();
            self.place = sections
                .position(|known| known.name == name)
                .map(Place::Section);
            return Err(IniError::DuplicateSection {
                line,
                first_line,
                name: name.to_owned(),
            });
        }
        self.section_lines.insert(name.to_owned(), line);
        self.place = Some(Place::Section(self.file.sections.len()));
        self.file.sections.push(Section {
            name: name.to_owned(),
            line,
            is_alone,
            entries: Vec::new(),
        });
        Ok(())
    }

    fn add_entry(&mut self, line: usize, text: &str, place: Place) -> Result<(), IniError> {
        let Some((key, value)) = text.split_once(['=', ':']) else {
            let is_head = text.starts_with('[');
            let text = excerpt(text);
            return Err(if is_head {
                IniError::OpenHead { line, text }
            } else {
                IniError::NoDelimiter { line, text }
            });
        };
        let key = key.trim_end_matches(python_space);
        if key.is_empty() {
            return Err(IniError::EmptyKey { line });
        }
        let folded = key.to_lowercase();
        let number = match place {
            Place::Defaults => None,
            Place::Section(index) => Some(index),
        };
        if let Some(first_line) = self.key_lines.get(&(number, folded.clone())).copied() {
            let section = self.section_mut(place).name.clone();
            return Err(IniError::DuplicateKey {
                line,
                first_line,
                section,
                key: key.to_owned(),
            });
        }
        self.key_lines.insert((number, folded.clone()), line);
        let value = value.trim_matches(python_space).to_owned();
        let entry = Entry {
            key: key.to_owned(),
            value,
            line,
            folded,
        };
        self.section_mut(place).entries.push(entry);
        self.open = true;
        Ok(())
    }

    /// Adds a line to the open value. Empty lines at its end are cut off when the file is read.
    fn continue_value(&mut self, text: &str) {
        if let (true, Some(place)) = (self.open, self.place)
            && let Some(entry) = self.section_mut(place).entries.last_mut()
        {
            entry.value.push('\n');
            entry.value.push_str(text);
        }
    }

    fn section_mut(&mut self, place: Place) -> &mut Section {
        match place {
            Place::Defaults => &mut self.file.defaults,
            Place::Section(index) => &mut self.file.sections[index],
        }
    }
}

/// What a value's references may name.
struct Scope<'a> {
    section: &'a Section,
    defaults: &'a Section,
    fallbacks: &'a [(&'a str, &'a str)],
}

impl<'a> Scope<'a> {
    fn entry(&self, folded: &str) -> Option<&'a Entry> {
        self.section
            .entry(folded)
            .or_else(|| self.defaults.entry(folded))
    }

    fn resolve(&self, entry: &Entry) -> Result<String, IniError> {
        let mut resolved = String::new();
        self.append(entry, &entry.value, 1, &mut resolved)?;
        Ok(resolved)
    }

    /// Appends `rest`, which belongs to `entry` or to what it refers to, `depth` keys away.
    fn append(
        &self,
        entry: &Entry,
        mut rest: &str,
        depth: usize,
        resolved: &mut String,
    ) -> Result<(), IniError> {
        let (line, key) = (entry.line, || entry.key.clone());
        let section = || self.section.name.clone();
        if depth > INI_REFERENCE_DEPTH_MAX {
            let allowed = INI_REFERENCE_DEPTH_MAX;
            return Err(IniError::ReferenceDepth {
                line,
                section: section(),
                key: key(),
                allowed,
            });
        }
        while let Some(at) = rest.find('%') {
            resolved.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('%') {
                resolved.push('%');
                rest = after;
                continue;
            }
            let Some((reference, after)) = reference(rest) else {
                return Err(IniError::BarePercent {
                    line,
                    section: section(),
                    key: key(),
                });
            };
            rest = after;
            let Some(value) = self.referred(reference) else {
                let reference = reference.to_owned();
                return Err(IniError::UnknownReference {
                    line,
                    section: section(),
                    key: key(),
                    reference,
                });
            };
            match value {
                Referred::Entry(other) => self.append(entry, &other.value, depth + 1, resolved)?,
                Referred::Fallback(text) => resolved.push_str(text),
            }
        }
        resolved.push_str(rest);
        if resolved.len() > INI_VALUE_BYTES_MAX {
            let allowed = INI_VALUE_BYTES_MAX;
            return Err(IniError::ValueTooLong {
                line,
                section: section(),
                key: key(),
                allowed,
            });
        }
        Ok(())
    }

    fn referred(&self, reference: &str) -> Option<Referred<'a>> {
        let folded = reference.to_lowercase();
        let entry = self.entry(&folded).map(Referred::Entry);
        entry.or_else(|| {
            let mut fallbacks = self.fallbacks.iter();
            let found = fallbacks.find(|(key, _)| key.to_lowercase() == folded);
            found.map(|(_, text)| Referred::Fallback(text))
        })
    }
}

enum Referred<'a> {
    Entry(&'a Entry),
    Fallback(&'a str),
}

/// `(key)s` at the start of what follows a `%`: the key, and the rest.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (key, after) = text.strip_prefix('(')?.split_once(')')?;
    let after = after.strip_prefix('s')?;
    (!key.is_empty()).then_some((key, after))
}

/// The name in `[name]`: up to the last bracket, whatever follows it, as Python takes it.
fn section_head(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('[')?;
    let end = inside.rfind(']')?;
    (end > 0).then(|| &inside[..end])
}

/// What Python's `str.strip` takes for white space: Unicode's, and the four separators 1C to 1F.
fn python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The start of a line, for a message: logs are read by many, so of a value that may hold a password
/// nothing is quoted.
fn excerpt(text: &str) -> String {
    let start = |text: &str| text.chars().take(60).collect::<String>();
    let (key, value) = text.split_once(['=', ':']).unwrap_or((text, ""));
    let name = key.to_uppercase();
    if value.contains('@') || ["PASSWORD", "DSN"].iter().any(|part| name.contains(part)) {
        return format!("{}= ...", start(key));
    }
    start(text)
}

#[cfg(test)]
mod tests;
