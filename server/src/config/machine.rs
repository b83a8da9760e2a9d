//! What `slipway.toml` says of the machine: how much models may use, in which sizes, and what is kept of what they left.

use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::{InstanceType, LOCAL, MIB, Price};
use runtime::{Isolation, IsolationSettings, Limits, Retention, UserIds};
use serde::Deserialize;

use super::{Error, value};
use crate::machine::MachineSettings;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Bytes that a build must be let have.
const LEAST_FOR_BUILDS: u64 = 256 * MIB;

/// `[machine]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineTable {
    memory: Option<String>,
    gpus: Option<u32>,
    gpu_type: Option<String>,
    isolation: Option<String>,
    users: Option<String>,
    readable: Option<Vec<PathBuf>>,
    builds_at_once: Option<i64>,
    build_limit_minutes: Option<i64>,
    memory_per_build: Option<String>,
    processes_per_build: Option<i64>,
    processes_per_replica: Option<i64>,
}

/// One of `[[instance_types]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeTable {
    id: String,
    name: Option<String>,
    cpu: String,
    memory: String,
    #[serde(default)]
    gpus: u32,
    gpu_type: Option<String>,
    price_per_minute: Option<f64>,
    price_per_hour: Option<f64>,
}

/// `[keep]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepTable {
    environment_hours: Option<i64>,
    log_days: Option<i64>,
}

/// What keeps models from the rest of the machine.
pub fn isolation(table: Option<&MachineTable>) -> Result<IsolationSettings, Error> {
    let mut settings = IsolationSettings::default();
    let Some(table) = table else { return Ok(settings) };
    settings.mode = match table.isolation.as_deref() {
        None | Some("auto") => Isolation::Auto,
        Some("require") => Isolation::Require,
        Some("off") => Isolation::Off,
        Some(text) => {
            let problem = format!("`{text}` is not known; write `auto`, `require` or `off`");
            return Err(value("machine.isolation", problem));
        }
    };
    match table.users.as_deref() {
        None => {}
        Some("none") => settings.users = None,
        Some(text) => {
            let ids = UserIds::parse(text).map_err(|problem| value("machine.users", problem))?;
            settings.users = Some(ids);
        }
    }
    settings.readable = table.readable.clone().unwrap_or_default();
    for path in &settings.readable {
        let wrong = |problem: &str| Err(value("machine.readable", format!("`{}` {problem}", path.display())));
        if !path.is_absolute() {
            return wrong("is no absolute path; write it from `/` on");
        }
        // Each sandbox has its own of these, which it would lie above.
        if ["/", "/tmp", "/var/tmp", "/dev", "/proc", "/etc"].iter().any(|own| path == Path::new(own)) {
            return wrong("is more than can be shared; name what is needed below it");
        }
    }
    Ok(settings)
}

/// What builds and replicas may use at most, on a machine with so many bytes of memory.
pub fn limits(table: Option<&MachineTable>, memory: u64) -> Result<Limits, Error> {
    let mut limits = Limits::on(memory);
    let Some(table) = table else { return Ok(limits) };
    if let Some(builds) = table.builds_at_once {
        limits.builds_at_once = within("machine.builds_at_once", builds, 1, 64)? as usize;
    }
    if let Some(minutes) = table.build_limit_minutes {
        let minutes = within("machine.build_limit_minutes", minutes, 1, 1440)?;
        limits.build = Duration::from_secs(minutes.unsigned_abs() * 60);
    }
    if let Some(text) = &table.memory_per_build {
        limits.build_memory = bytes("machine.memory_per_build", text)?;
        if limits.build_memory < LEAST_FOR_BUILDS {
            let problem = format!("`{text}` is less than `256Mi`, which installing a package may take");
            return Err(value("machine.memory_per_build", problem));
        }
    }
    if let Some(processes) = table.processes_per_build {
        limits.build_processes = within("machine.processes_per_build", processes, 256, 65_536)? as u32;
    }
    if let Some(processes) = table.processes_per_replica {
        limits.processes = within("machine.processes_per_replica", processes, 64, 65_536)? as u32;
    }
    Ok(limits)
}

pub fn machine(table: Option<MachineTable>, types: Vec<TypeTable>) -> Result<MachineSettings, Error> {
    let table = table.unwrap_or_default();
    let memory = table.memory.map(|text| bytes("machine.memory", &text)).transpose()?;
    let mut checked: Vec<InstanceType> = Vec::with_capacity(types.len());
    for table in types {
        let known = instance_type(table)?;
        if checked.iter().any(|other| other.id == known.id) {
            return Err(value("instance_types.id", format!("`{}` is there twice; ids are unique", known.id)));
        }
        checked.push(known);
    }
    Ok(MachineSettings { memory, gpus: table.gpus, gpu_type: table.gpu_type, types: checked })
}

pub fn retention(table: Option<KeepTable>) -> Result<Retention, Error> {
    let table = table.unwrap_or_default();
    let hours = within("keep.environment_hours", table.environment_hours.unwrap_or(24), 0, 8760)?;
    let days = within("keep.log_days", table.log_days.unwrap_or(30), 1, 3650)?;
    Ok(Retention { environments: hours * HOUR, logs: days * DAY })
}

fn within(name: &'static str, number: i64, least: i64, most: i64) -> Result<i64, Error> {
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    Err(value(name, format!("{number} is not within {least} to {most}")))
}

fn bytes(name: &'static str, text: &str) -> Result<u64, Error> {
    let found = truss::config::memory_bytes(text);
    found.ok_or_else(|| value(name, format!("`{text}` is no amount of memory; write `12Gi` or `512Mi`")))
}

fn instance_type(table: TypeTable) -> Result<InstanceType, Error> {
    let id = table.id;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if id.is_empty() || id.len() > 60 || !id.chars().all(plain) {
        let problem = format!("`{id}` is no id; use 1 to 60 letters, digits, `-`, `_` or `.`");
        return Err(value("instance_types.id", problem));
    }
    if id == LOCAL {
        let problem = format!("`{LOCAL}` stands for a machine without configured types; use another id");
        return Err(value("instance_types.id", problem));
    }
    let milli_cpu = truss::config::milli_cpu(&table.cpu).ok_or_else(|| {
        let problem = format!("`{}` of {id} is no number of cores; write `2` or `500m`", table.cpu);
        value("instance_types.cpu", problem)
    })?;
    let per_minute = match (table.price_per_minute, table.price_per_hour) {
        (Some(_), Some(_)) => {
            let problem = format!("{id} has a price per minute and one per hour; keep one of them");
            return Err(value("instance_types.price_per_minute", problem));
        }
        (minute, hour) => minute.or(hour.map(|hour| hour / 60.0)),
    };
    let price = per_minute.map(|price| {
        let problem = || format!("{price} a minute of {id} is no price; write a number from 0 on");
        Price::per_minute(price).ok_or_else(|| value("instance_types.price_per_minute", problem()))
    });
    Ok(InstanceType {
        name: table.name.filter(|name| !name.is_empty()).unwrap_or_else(|| id.clone()),
        milli_cpu,
        memory: bytes("instance_types.memory", &table.memory)?,
        gpus: table.gpus,
        gpu_type: table.gpu_type,
        price: price.transpose()?,
        id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::File;

    fn read(text: &str) -> Result<(MachineSettings, Retention), Error> {
        let file = File::parse(text, "slipway.toml")?;
        isolation(file.machine.as_ref())?;
        limits(file.machine.as_ref(), 8 << 30)?;
        Ok((machine(file.machine, file.instance_types.unwrap_or_default())?, retention(file.keep)?))
    }

    #[test]
    fn types_are_read_with_their_prices() {
        let text = "
            [machine]
            memory = '12Gi'
            [[instance_types]]
            id = 'small'
            cpu = '500m'
            memory = '2Gi'
            price_per_hour = 0.06
            [[instance_types]]
            id = 'card'
            name = 'One L4'
            cpu = '4'
            memory = '16Gi'
            gpus = 1
            gpu_type = 'L4'
            price_per_minute = 0.01
            [keep]
            log_days = 7
        ";
        let (machine, keep) = read(text).unwrap();
        assert_eq!(machine.memory, Some(12 << 30));
        let sizes: Vec<_> = machine.types.iter().map(|known| (known.milli_cpu, known.memory >> 30)).collect();
        assert_eq!(sizes, [(500, 2), (4000, 16)]);
        let prices: Vec<_> = machine.types.iter().map(|known| known.price.map(|price| price.0)).collect();
        assert_eq!(prices, [Some(1_000_000), Some(10_000_000)]);
        assert_eq!(machine.types[0].name, "small");
        assert_eq!((keep.environments, keep.logs), (24 * HOUR, 7 * DAY));
    }

    #[test]
    fn isolation_is_as_it_is_set() {
        let read = |text: &str| {
            let file = File::parse(text, "slipway.toml").unwrap();
            isolation(file.machine.as_ref()).unwrap()
        };
        assert_eq!(read(""), IsolationSettings::default());
        let text = "[machine]\nisolation = 'require'\nusers = '50000-59999'\nreadable = ['/srv/weights']";
        let set = read(text);
        assert_eq!((set.mode, set.users), (Isolation::Require, UserIds::parse("50000-59999").ok()));
        assert_eq!(set.readable, [PathBuf::from("/srv/weights")]);
        assert_eq!(read("[machine]\nusers = 'none'").users, None);
    }

    #[test]
    fn limits_are_as_they_are_set() {
        let read = |text: &str| {
            let file = File::parse(text, "slipway.toml").unwrap();
            limits(file.machine.as_ref(), 8 << 30).unwrap()
        };
        assert_eq!(read(""), Limits::on(8 << 30));
        assert_eq!(read("[machine]\ngpus = 1"), Limits::on(8 << 30));
        let set = read(
            "[machine]\nbuilds_at_once = 1\nbuild_limit_minutes = 5\nmemory_per_build = '1Gi'\nprocesses_per_build = 256\n\
             processes_per_replica = 64",
        );
        let limits = Limits {
            builds_at_once: 1,
            build: Duration::from_secs(300),
            build_memory: 1 << 30,
            build_processes: 256,
            processes: 64,
        };
        assert_eq!(set, limits);
        assert!((2..=8).contains(&Limits::default().builds_at_once));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let one = |more: &str| format!("[[instance_types]]\nid = 'a'\ncpu = '1'\nmemory = '1Gi'\n{more}\n");
        let table = [
            ("[machine]\nmemory = 'much'".to_owned(), "machine.memory"),
            ("[machine]\nisolation = 'some'".to_owned(), "machine.isolation"),
            ("[machine]\nusers = '7-8'".to_owned(), "machine.users"),
            ("[machine]\nreadable = ['weights']".to_owned(), "machine.readable"),
            ("[machine]\nreadable = ['/']".to_owned(), "below it"),
            ("[machine]\nbuilds_at_once = 0".to_owned(), "machine.builds_at_once: 0 is not within 1 to 64"),
            ("[machine]\nbuild_limit_minutes = 0".to_owned(), "machine.build_limit_minutes: 0"),
            ("[machine]\nbuild_limit_minutes = 1441".to_owned(), "not within 1 to 1440"),
            ("[machine]\nmemory_per_build = 'much'".to_owned(), "machine.memory_per_build"),
            ("[machine]\nmemory_per_build = '255Mi'".to_owned(), "less than `256Mi`"),
            ("[machine]\nprocesses_per_build = 255".to_owned(), "machine.processes_per_build: 255"),
            ("[machine]\nprocesses_per_replica = 63".to_owned(), "machine.processes_per_replica: 63"),
            (one("price_per_minute = -1.0"), "price_per_minute"),
            (one("price_per_minute = 1.0\nprice_per_hour = 1.0"), "keep one of them"),
            (one("") + &one(""), "twice"),
            (one("colour = 'red'"), "colour"),
            (one("").replace("'a'", "'local'"), "local"),
            (one("").replace("'a'", "'a b'"), "instance_types.id"),
            (one("").replace("'1'", "'one'"), "instance_types.cpu"),
            ("[keep]\nlog_days = 0".to_owned(), "keep.log_days"),
            ("[keep]\nlogs = 3".to_owned(), "logs"),
        ];
        for (text, word) in table {
            let told = read(&text).unwrap_err().to_string();
            assert!(told.contains(word), "{word} in: {told}");
        }
    }
}
