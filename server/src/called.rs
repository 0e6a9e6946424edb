//! The name that the program was called by. One called carbon-cache, or carbon-cache.py, takes
//! carbon-cache.py's own command line, and looks for carbon.conf where Python's program looks that
//! nobody has told anything: init scripts go on as they are.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{self, Path, PathBuf};

use rustix::fs::{Access, access};

/// The words of a command line, `search` being PATH: under carbon-cache's name they are those of
/// `benzene cache`, and say where the program lies.
pub fn words(line: impl IntoIterator<Item = OsString>, search: Option<&OsStr>) -> Vec<OsString> {
    let mut words: Vec<OsString> = line.into_iter().collect();
    let program = words.first().map(PathBuf::from);
    let as_carbon = |it: &PathBuf| it.file_stem().is_some_and(|stem| stem == "carbon-cache");
    if let Some(program) = program.filter(as_carbon) {
        let place = place(&program, search);
        let flag = place.map(|place| ["--program".into(), place.into_os_string()]);
        let inserted = [OsString::from("cache")]
            .into_iter()
            .chain(flag.into_iter().flatten());
        words.splice(1..1, inserted);
    }
    words
}

/// Where a program lies: what its name says, or the first of that name on PATH. A link counts, not what
/// it leads to.
fn place(program: &Path, search: Option<&OsStr>) -> Option<PathBuf> {
    let is_bare = program.parent().is_none_or(|it| it.as_os_str().is_empty());
    let place = if is_bare {
        let places = env::split_paths(search?).map(|directory| directory.join(program));
        places.into_iter().find(|place| is_program(place))?
    } else {
        program.to_owned()
    };
    path::absolute(place).ok()
}

fn is_program(place: &Path) -> bool {
    place.is_file() && access(place, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn called(line: &[&str], search: Option<&str>) -> Vec<String> {
        let words = words(line.iter().map(OsString::from), search.map(OsStr::new));
        words
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn the_name_carbon_cache_is_a_command_that_knows_its_place() {
        for name in ["/opt/x/bin/carbon-cache", "/opt/x/bin/carbon-cache.py"] {
            let words = called(&[name, "start"], None);
            assert_eq!(words, [name, "cache", "--program", name, "start"]);
        }
        let words = called(&["bin/carbon-cache.py", "start"], None);
        let place = env::current_dir().unwrap().join("bin/carbon-cache.py");
        assert_eq!(words[3], place.to_string_lossy());
        assert_eq!(called(&["benzene", "query"], None), ["benzene", "query"]);
        let relay = ["carbon-relay.py", "start"];
        assert_eq!(called(&relay, None), relay);
        assert!(called(&[], None).is_empty());
    }

    #[test]
    fn a_bare_name_is_looked_for_on_the_path() {
        let [text, program] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        for directory in [&text, &program] {
            std::fs::write(directory.path().join("carbon-cache.py"), "").unwrap();
        }
        let place = program.path().join("carbon-cache.py");
        std::fs::set_permissions(&place, Permissions::from_mode(0o755)).unwrap();
        let search = [Path::new("/nowhere"), text.path(), program.path()];
        let search = env::join_paths(search).unwrap().into_string().unwrap();
        let words = called(&["carbon-cache.py", "status"], Some(&search));
        assert_eq!(
            words[1..],
            ["cache", "--program", &place.to_string_lossy(), "status"]
        );
        for search in [None, Some("/nowhere")] {
            let words = called(&["carbon-cache.py", "status"], search);
            assert_eq!(words[1..], ["cache", "status"]);
        }
    }
}
