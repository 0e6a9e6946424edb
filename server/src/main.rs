//! The program `benzene`: reads the command line and hands over to the room that does the work.

use benzene_server::called;
use benzene_server::cli::{Cli, Command};
use benzene_server::exit::Exit;
use benzene_server::{logging, process, tools};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Exit {
    let search = std::env::var_os("PATH");
    let words = called::words(std::env::args_os(), search.as_deref());
    match Cli::parse_from(words).command {
        Command::Cache(run) => process::run(&run),
        Command::Doctor(options) => {
            logging::start(options.daemon.log);
            tools::doctor::run(&options)
        }
        Command::Stop(options) => {
            logging::start(options.daemon.log);
            tools::stop::run(&options)
        }
        Command::CheckConfig(options) => tools::check_config::run(&options),
        Command::ImportConfig(options) => tools::import_config::run(&options),
        Command::Query(options) => tools::query::run(&options),
        Command::Tune(options) => {
            logging::start(None);
            tools::tune::run(&options)
        }
        Command::Shadow(options) => {
            logging::start(None);
            tools::shadow::run(&options)
        }
        Command::Journal(options) => tools::journal::run(&options),
    }
}
