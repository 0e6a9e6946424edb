//! The program `benzene`: reads the command line and hands over to the room that does the work.

use benzene_server::cli::{Cli, Command};
use benzene_server::exit::Exit;
use benzene_server::{config, desk, logging, tools};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Exit {
    match Cli::parse().command {
        Command::Cache(options) => {
            let log = logging::start(options.log);
            let environment = |name: &str| std::env::var(name).ok();
            let read_again = || config::load_conf(&options, &environment, &config::read_file);
            match config::load(&options, &environment, &config::read_file) {
                Ok(loaded) => desk::run(loaded, &read_again, log),
                Err(error) => {
                    tracing::error!("{error}");
                    Exit::Config
                }
            }
        }
        Command::Doctor(options) => {
            logging::start(options.daemon.log);
            tools::doctor::run(&options)
        }
        Command::Stop(options) => {
            logging::start(options.daemon.log);
            tools::stop::run(&options)
        }
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
