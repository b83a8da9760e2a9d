//! What a machine has for models, in which sizes, and what of it a deployment gets (semantics: Instance types and room).

use serde::{Deserialize, Serialize};

use crate::amount::{cores_text, memory_text};

/// The id of the type that stands for the whole machine.
pub const LOCAL: &str = "local";
/// What the push client fills in where a Truss names no resources: 1 core, 2 GiB.
const DEFAULT_MILLI_CPU: u64 = 1000;
const DEFAULT_MEMORY: u64 = 2 << 30;

/// What a minute of one replica costs, in billionths of the currency that the operator thinks in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Price(pub i64);

impl Price {
    /// `None` for what is no price: negative, not a number, or beyond nine billion a minute.
    pub fn per_minute(price: f64) -> Option<Self> {
        (0.0..9e9).contains(&price).then(|| Self((price * 1e9).round() as i64))
    }

    pub fn as_per_minute(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// What so many minutes cost.
    pub fn of(self, minutes: u64) -> f64 {
        (i128::from(self.0) * i128::from(minutes)) as f64 / 1e9
    }
}

/// A size in which the machine is given to deployments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceType {
    pub id: String,
    pub name: String,
    /// Cores in thousandths.
    pub milli_cpu: u64,
    /// Bytes.
    pub memory: u64,
    pub gpus: u32,
    /// The cards' model; without it, any will do.
    pub gpu_type: Option<String>,
    pub price: Option<Price>,
}

/// What models may use of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Cores in thousandths.
    pub milli_cpu: u64,
    /// Bytes that replicas may reserve together.
    pub memory: u64,
    pub gpus: u32,
    pub gpu_type: Option<String>,
    /// At least one.
    pub types: Vec<InstanceType>,
    /// Whether the one type is the machine itself, found and not configured: then nobody has it alone.
    pub whole: bool,
}

/// What a configuration asks for, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Cores in thousandths.
    pub milli_cpu: u64,
    /// Bytes.
    pub memory: u64,
    /// A kind of card and how many.
    pub accelerator: Option<(String, u32)>,
    /// An instance type's id or name.
    pub instance_type: Option<String>,
}

impl Ask {
    /// The cores asked for; none where they are what the client fills in.
    fn asked_cpu(&self) -> Option<u64> {
        (self.milli_cpu != DEFAULT_MILLI_CPU).then_some(self.milli_cpu)
    }

    pub(crate) fn asked_memory(&self) -> Option<u64> {
        (self.memory != DEFAULT_MEMORY).then_some(self.memory)
    }

    pub(crate) fn gpus(&self) -> u32 {
        self.accelerator.as_ref().map_or(0, |(_, count)| *count)
    }
}

/// What one replica holds of the machine, to the exclusion of others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reserved {
    /// Bytes; also its limit. 0 shares what others leave.
    pub memory: u64,
    /// Whole cards.
    pub gpus: u32,
}

impl Reserved {
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// The size a deployment was given when it was pushed, or by a promotion that gave it its environment's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compute {
    /// The id and name of its instance type; empty for what was pushed before there were any.
    pub type_id: String,
    pub type_name: String,
    /// What each of its replicas holds.
    pub reserved: Reserved,
}

impl Host {
    /// The type that deployments without one of their own are shown with.
    pub fn default_type(&self) -> Option<&InstanceType> {
        self.types.first()
    }

    /// What a deployment's size is called: as it was when it was pushed, or the default's.
    pub fn type_name(&self, compute: &Compute) -> String {
        if compute.type_name.is_empty() {
            return self.default_type().map(|known| known.name.clone()).unwrap_or_default();
        }
        compute.type_name.clone()
    }

    /// The type of a deployment, as far as it is still offered, or the default.
    pub fn type_of(&self, compute: &Compute) -> Option<&InstanceType> {
        self.find(&compute.type_id).or_else(|| self.default_type())
    }

    /// What a deployment's replicas weigh where processors are short, in thousandths of a core. A type that stands for the whole
    /// machine is nobody's alone: each replica weighs one core then, or a few of them would leave nothing to the server.
    pub fn weight_of(&self, compute: &Compute) -> u64 {
        const CORE: u64 = 1000;
        match self.type_of(compute) {
            Some(known) if !self.whole => known.milli_cpu,
            _ => CORE,
        }
    }

    pub fn find(&self, id: &str) -> Option<&InstanceType> {
        self.types.iter().find(|known| known.id == id)
    }

    /// Finds the type a deployment gets: the one it names, or the smallest that fits. `Err` has a sentence for each
    /// field that asks for more than there is, with both numbers.
    pub fn choose(&self, ask: &Ask) -> Result<Compute, Vec<String>> {
        let mut errors = self.beyond_the_machine(ask);
        if !errors.is_empty() {
            return Err(errors);
        }
        let found = match &ask.instance_type {
            Some(name) => self.named(name, ask)?,
            None => self.smallest(ask)?,
        };
        let promised = ask.instance_type.is_some() && !self.whole;
        let reserved = Reserved {
            memory: if promised { found.memory } else { ask.asked_memory().unwrap_or(0) },
            gpus: if promised { found.gpus } else { ask.gpus() },
        };
        if reserved.memory > self.memory {
            errors.push(format!(
                "`resources.instance_type: {}` has {}, and models may hold {} on this machine; choose another",
                found.id,
                memory_text(reserved.memory),
                memory_text(self.memory)
            ));
        }
        if reserved.gpus > self.gpus {
            errors.push(format!(
                "`resources.instance_type: {}` has {}, and this machine has {}; choose another",
                found.id,
                gpus_text(reserved.gpus, found.gpu_type.as_deref()),
                gpus_text(self.gpus, self.gpu_type.as_deref())
            ));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Compute { type_id: found.id.clone(), type_name: found.name.clone(), reserved })
    }

    fn beyond_the_machine(&self, ask: &Ask) -> Vec<String> {
        let mut errors = Vec::new();
        if let Some(asked) = ask.asked_memory().filter(|asked| *asked > self.memory) {
            errors.push(format!(
                "`resources.memory` asks for {}, and models may hold {} on this machine; ask for less",
                memory_text(asked),
                memory_text(self.memory)
            ));
        }
        if let Some(asked) = ask.asked_cpu().filter(|asked| *asked > self.milli_cpu) {
            errors.push(format!(
                "`resources.cpu` asks for {}, and this machine has {}; ask for less",
                cores_text(asked),
                cores_text(self.milli_cpu)
            ));
        }
        if let Some((kind, count)) = &ask.accelerator
            && (*count > self.gpus || !is_kind(self.gpu_type.as_deref(), kind))
        {
            errors.push(format!(
                "`resources.accelerator` asks for {}, and this machine has {}; ask for what it has, or remove the line",
                gpus_text(*count, Some(kind)),
                gpus_text(self.gpus, self.gpu_type.as_deref())
            ));
        }
        errors
    }

    /// The type that a Truss means by a name: an id, or what it is called.
    pub(crate) fn offered(&self, name: &str) -> Option<&InstanceType> {
        self.types.iter().find(|known| known.id == name || known.name.eq_ignore_ascii_case(name))
    }

    fn named(&self, name: &str, ask: &Ask) -> Result<&InstanceType, Vec<String>> {
        let Some(found) = self.offered(name) else {
            let all: Vec<&str> = self.types.iter().map(|known| known.id.as_str()).collect();
            return Err(vec![format!(
                "`resources.instance_type: {name}` is not offered here; write one of {}",
                all.join(", ")
            )]);
        };
        let lacks = lacks(&[found], ask, &format!("the instance type {}", found.id));
        if lacks.is_empty() { Ok(found) } else { Err(lacks) }
    }

    fn smallest(&self, ask: &Ask) -> Result<&InstanceType, Vec<String>> {
        let asked = (ask.asked_cpu().unwrap_or(0), ask.asked_memory().unwrap_or(0));
        let fitting = |(milli_cpu, memory): (u64, u64)| {
            let fits = |known: &&InstanceType| {
                known.milli_cpu >= milli_cpu && known.memory >= memory && fits_gpus(known, ask)
            };
            self.types
                .iter()
                .filter(fits)
                .min_by_key(|known| (known.gpus, known.memory, known.milli_cpu, known.price, &known.id))
        };
        // What the client filled in is a wish: a smaller type does where no type has as much.
        let found = fitting((ask.milli_cpu, ask.memory)).or_else(|| fitting(asked));
        found.ok_or_else(|| {
            let all: Vec<&InstanceType> = self.types.iter().collect();
            let mut errors = lacks(&all, ask, "the largest instance type");
            if errors.is_empty() {
                errors.push(format!(
                    "`resources` asks for {} with {} and {} at once, and no instance type has all of it; ask for less of one",
                    cores_text(ask.milli_cpu),
                    memory_text(ask.memory),
                    gpus_text(ask.gpus(), None)
                ));
            }
            errors
        })
    }
}

/// What even the largest of these types has too little of.
pub(crate) fn lacks(types: &[&InstanceType], ask: &Ask, whose: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let most = |size: fn(&InstanceType) -> u64| types.iter().map(|known| size(known)).max().unwrap_or(0);
    let memory = most(|known| known.memory);
    if let Some(asked) = ask.asked_memory().filter(|asked| *asked > memory) {
        let (asked, has) = (memory_text(asked), memory_text(memory));
        errors.push(format!("`resources.memory` asks for {asked}, and {whose} has {has}; ask for less"));
    }
    let milli_cpu = most(|known| known.milli_cpu);
    if let Some(asked) = ask.asked_cpu().filter(|asked| *asked > milli_cpu) {
        let (asked, has) = (cores_text(asked), cores_text(milli_cpu));
        errors.push(format!("`resources.cpu` asks for {asked}, and {whose} has {has}; ask for less"));
    }
    if let Some((kind, count)) = &ask.accelerator
        && !types.iter().any(|known| fits_gpus(known, ask))
    {
        let best = types.iter().max_by_key(|known| known.gpus);
        let has =
            gpus_text(best.map_or(0, |known| known.gpus), best.and_then(|known| known.gpu_type.as_deref()));
        let asked = gpus_text(*count, Some(kind));
        errors.push(format!("`resources.accelerator` asks for {asked}, and {whose} has {has}; ask for less"));
    }
    errors
}

fn fits_gpus(known: &InstanceType, ask: &Ask) -> bool {
    match &ask.accelerator {
        None => true,
        Some((kind, count)) => known.gpus >= *count && is_kind(known.gpu_type.as_deref(), kind),
    }
}

/// Whether a card called `model` is of the kind that a Truss calls `kind`: `L4` is in `NVIDIA L4`, and `H100_40GB` is a
/// part of an `H100`. A card without a name is of any kind.
fn is_kind(model: Option<&str>, kind: &str) -> bool {
    let Some(model) = model else { return true };
    let kind = kind.split('_').next().unwrap_or(kind);
    model.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word.eq_ignore_ascii_case(kind))
}

pub(crate) fn gpus_text(count: u32, kind: Option<&str>) -> String {
    match (count, kind) {
        (0, _) => "no GPU".into(),
        (1, None) => "1 GPU".into(),
        (n, None) => format!("{n} GPUs"),
        (n, Some(kind)) => format!("{n} × {kind}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::GIB;

    fn kind(id: &str, cores: u64, gib: u64, gpus: u32) -> InstanceType {
        InstanceType {
            id: id.into(),
            name: id.to_uppercase(),
            milli_cpu: cores * 1000,
            memory: gib * GIB,
            gpus,
            gpu_type: (gpus > 0).then(|| "NVIDIA L4".into()),
            price: None,
        }
    }

    fn host(types: Vec<InstanceType>) -> Host {
        let whole = types.is_empty();
        let types = if whole { vec![kind(LOCAL, 8, 16, 2)] } else { types };
        let gpu_type = Some("NVIDIA L4".into());
        Host { milli_cpu: 8000, memory: 14 * GIB, gpus: 2, gpu_type, types, whole }
    }

    fn ask(cores: u64, gib: u64) -> Ask {
        Ask { milli_cpu: cores * 1000, memory: gib * GIB, accelerator: None, instance_type: None }
    }

    #[test]
    fn what_the_client_fills_in_reserves_nothing_and_always_fits() {
        let small = Host { milli_cpu: 500, memory: GIB, ..host(vec![kind("tiny", 0, 1, 0)]) };
        let compute = small.choose(&ask(1, 2)).unwrap();
        assert_eq!((compute.type_id.as_str(), compute.reserved), ("tiny", Reserved::default()));
    }

    #[test]
    fn what_is_asked_for_is_reserved() {
        let asked = Ask { accelerator: Some(("L4".into(), 2)), ..ask(4, 8) };
        let compute = host(vec![]).choose(&asked).unwrap();
        assert_eq!(compute.reserved, Reserved { memory: 8 * GIB, gpus: 2 });
        assert_eq!(compute.type_id, LOCAL);
    }

    #[test]
    fn a_replica_weighs_what_its_type_has_and_one_core_where_there_are_no_types() {
        let whole = host(vec![]);
        let all = whole.choose(&ask(1, 1)).unwrap();
        assert_eq!((whole.type_of(&all).unwrap().milli_cpu, whole.weight_of(&all)), (8000, 1000));
        let typed = host(vec![kind("small", 2, 4, 0), kind("large", 4, 8, 0)]);
        let large = typed.choose(&ask(3, 4)).unwrap();
        assert_eq!(typed.weight_of(&large), 4000);
    }

    #[test]
    fn the_smallest_type_that_fits_is_taken_and_a_named_one_is_had_whole() {
        let types = vec![kind("gpu", 4, 8, 1), kind("large", 8, 12, 0), kind("small", 2, 4, 0)];
        let host = host(types);
        let chosen = |ask: &Ask| host.choose(ask).map(|compute| (compute.type_id, compute.reserved));
        assert_eq!(chosen(&ask(1, 2)).unwrap(), ("small".into(), Reserved::default()));
        assert_eq!(chosen(&ask(1, 4)).unwrap().0, "small");
        assert_eq!(chosen(&ask(1, 5)).unwrap().0, "large", "not the one with a card, which nobody asked for");
        assert_eq!(chosen(&ask(4, 2)).unwrap().0, "large");
        let card = Ask { accelerator: Some(("L4".into(), 1)), ..ask(1, 2) };
        assert_eq!(chosen(&card).unwrap(), ("gpu".into(), Reserved { memory: 0, gpus: 1 }));
        let named = Ask { instance_type: Some("LARGE".into()), ..ask(1, 2) };
        assert_eq!(chosen(&named).unwrap(), ("large".into(), Reserved { memory: 12 * GIB, gpus: 0 }));
    }

    #[test]
    fn refusals_name_the_field_and_both_numbers() {
        let types = vec![kind("gpu", 4, 8, 1), kind("small", 2, 4, 0)];
        let whole = host(vec![]);
        let sized = host(types);
        let card = |name: &str, count| Ask { accelerator: Some((name.into(), count)), ..ask(1, 2) };
        let named = |name: &str, gib| Ask { instance_type: Some(name.into()), ..ask(1, gib) };
        let table: [(&Host, Ask, &[&str]); 9] = [
            (&whole, ask(1, 64), &["resources.memory", "64 GiB", "14 GiB"]),
            (&whole, ask(64, 2), &["resources.cpu", "64 cores", "8 cores"]),
            (&whole, card("L4", 4), &["resources.accelerator", "4 × L4", "2 × NVIDIA L4"]),
            (&whole, card("H100", 1), &["resources.accelerator", "1 × H100", "2 × NVIDIA L4"]),
            (&sized, ask(1, 12), &["resources.memory", "12 GiB", "8 GiB", "largest instance type"]),
            (&sized, ask(6, 2), &["resources.cpu", "6 cores", "4 cores"]),
            (&sized, card("L4", 2), &["resources.accelerator", "2 × L4", "1 × NVIDIA L4"]),
            (&sized, named("huge", 2), &["resources.instance_type: huge", "gpu, small"]),
            (&sized, named("small", 6), &["resources.memory", "6 GiB", "4 GiB", "small"]),
        ];
        for (host, ask, words) in table {
            let told = host.choose(&ask).unwrap_err().join("; ");
            for word in words {
                assert!(told.contains(word), "{word} in: {told}");
            }
        }
    }

    #[test]
    fn a_card_is_known_by_a_word_of_its_name() {
        assert!(is_kind(Some("NVIDIA L4"), "L4") && is_kind(Some("NVIDIA H100 80GB HBM3"), "H100_40GB"));
        assert!(!is_kind(Some("NVIDIA L40S"), "L4") && is_kind(None, "A100"));
    }

    #[test]
    fn prices_are_kept_to_the_billionth() {
        let price = Price::per_minute(0.000_58).unwrap();
        assert_eq!((price.0, price.of(1000)), (580_000, 0.58));
        assert!(Price::per_minute(-1.0).is_none() && Price::per_minute(f64::NAN).is_none());
    }
}
