//! Lays out a Truss to start it by hand, and prints what to install:
//! `cargo run -p truss --example lay_out -- TRUSS UNPACKED_WHEEL DEST`.

use std::error::Error;
use std::path::PathBuf;

use truss::requirements::ServerNeeds;
use truss::{Config, InstallPlan, Step, Wheel, lay_out, validate, validate_files};

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [folder, wheel, dest] = &paths[..] else {
        return Err("give a Truss, an unpacked wheel and a destination".into());
    };
    let config = Config::from_yaml(&std::fs::read_to_string(folder.join("config.yaml"))?)?;
    for found in [validate(&config), validate_files(&config, folder)] {
        println!("{}", found.to_details_json());
    }
    let wheel = Wheel::open(wheel)?;
    let (requirements, constraints) = (wheel.requirements()?, wheel.constraints()?);
    let server = ServerNeeds { version: "unpacked", requirements: &requirements, constraints: &constraints };
    let plan = InstallPlan::of_truss(&config, folder, server)?;
    println!("Python {}, environment {}", plan.python, plan.key);
    for step in &plan.steps {
        match step {
            Step::Lines(lines) => println!("{}", lines.join("\n")),
            other => println!("{other:?}"),
        }
    }
    lay_out(&config, folder, &wheel.templates(), dest)?;
    Ok(())
}
