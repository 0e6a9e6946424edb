//! Where the programs are. The daemon belongs to another package, so cargo does not build it for
//! these tests by itself; it is built here, once, by the cargo and the profile of the tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The program `benzene-bench`.
pub(crate) const BENCH: &str = env!("CARGO_BIN_EXE_benzene-bench");

/// The program `benzene`, beside it.
pub(crate) fn benzene() -> &'static Path {
    static BENZENE: OnceLock<PathBuf> = OnceLock::new();
    BENZENE.get_or_init(|| {
        let profile_dir = Path::new(BENCH).parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--workspace", "--bin", "benzene"]);
        build.arg("--target-dir").arg(profile_dir.parent().unwrap());
        match profile_dir.file_name().unwrap().to_str().unwrap() {
            "debug" => {}
            profile => drop(build.args(["--profile", profile])),
        }
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(build.status().unwrap().success(), "{build:?} failed");
        let program = profile_dir.join("benzene");
        assert!(program.is_file(), "{build:?} made no {program:?}");
        program
    })
}

/// Runs benzene-bench with a daemon and below a directory.
pub(crate) fn bench(command: &str, daemon: &Path, dir: &Path, options: &[&str]) -> Output {
    Command::new(BENCH)
        .arg(command)
        .arg("--daemon")
        .arg(daemon)
        .arg("--dir")
        .arg(dir)
        .args(options)
        .output()
        .unwrap()
}

/// What it wrote to stdout.
pub(crate) fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The columns of a figure's line of a table, without its name.
pub(crate) fn columns<'t>(table: &'t str, figure: &str) -> Vec<&'t str> {
    let line = table
        .lines()
        .find_map(|line| line.trim().strip_prefix(figure));
    let line = line.unwrap_or_else(|| panic!("no {figure} in {table}"));
    line.split_whitespace().collect()
}

/// Both of its outputs, for the message of a failed test.
pub(crate) fn said(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    format!("{}:\n{}{errors}", output.status, text(output))
}

/// An executable file.
pub(crate) fn write_script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
