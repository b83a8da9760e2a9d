//! The size that a deployment gets in an environment that keeps its instance type (semantics: Reuse or copy).

use crate::host::{gpus_text, lacks};
use crate::{Ask, Compute, Host, InstanceType, Reserved, memory_text};

impl Host {
    /// What a deployment that has `own` gets in an environment whose current deployment has `current`: the same type;
    /// `None` where the type is no longer offered, or where it has that already, of which it goes on holding what it held.
    /// All of a type that is new to it is reserved where the current deployment has all of it, or where `ask` names a type;
    /// otherwise what `ask` asks for.
    ///
    /// # Errors
    /// A sentence for each field of `ask` that asks for more than that type has. A type that `ask` names, and that is
    /// offered, is asked for with all of its memory and its cards.
    pub fn kept(&self, own: &Compute, ask: &Ask, current: &Compute) -> Result<Option<Compute>, Vec<String>> {
        let Some(found) = self.other_type(own, current) else { return Ok(None) };
        let mut errors = lacks(&[found], ask, &format!("the instance type {}", found.id));
        let named = ask.instance_type.as_deref().filter(|_| !self.whole);
        errors.extend(named.and_then(|name| self.offered(name)).and_then(|named| lacks_of(named, found)));
        let all = Reserved { memory: found.memory, gpus: found.gpus };
        let whole = !self.whole && (ask.instance_type.is_some() || current.reserved == all);
        let reserved = match whole {
            true => all,
            false => Reserved { memory: ask.asked_memory().unwrap_or(0), gpus: ask.gpus() },
        };
        if reserved.memory > self.memory || reserved.gpus > self.gpus {
            errors.push(format!(
                "the instance type {} has {} and {} GPUs, and models may hold {} and {} on this machine",
                found.id,
                memory_text(reserved.memory),
                reserved.gpus,
                memory_text(self.memory),
                self.gpus
            ));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Some(Compute { type_id: found.id.clone(), type_name: found.name.clone(), reserved }))
    }

    /// The type of `current`, where it is still offered and another than that of `own`.
    pub fn other_type(&self, own: &Compute, current: &Compute) -> Option<&InstanceType> {
        let id_of = |compute: &Compute| match compute.type_id.as_str() {
            "" => self.default_type().map(|known| known.id.clone()).unwrap_or_default(),
            id => id.to_owned(),
        };
        self.find(&id_of(current)).filter(|found| found.id != id_of(own))
    }
}

/// What `found` has too little of for whoever named the type `named`.
fn lacks_of(named: &InstanceType, found: &InstanceType) -> Option<String> {
    let other_cards = match (&named.gpu_type, &found.gpu_type) {
        (Some(named), Some(found)) => !named.eq_ignore_ascii_case(found),
        _ => false,
    };
    let cards = named.gpus > found.gpus || named.gpus > 0 && other_cards;
    let text = |known: &InstanceType| {
        let gpus = gpus_text(known.gpus, known.gpu_type.as_deref());
        format!("{} and {gpus}", memory_text(known.memory))
    };
    (cards || named.memory > found.memory).then(|| {
        format!(
            "`resources.instance_type: {}` has {}, and the instance type {} has {}",
            named.id,
            text(named),
            found.id,
            text(found)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GIB;

    fn host() -> Host {
        let size = |id: &str, cores: u64, gib: u64| InstanceType {
            id: id.into(),
            name: id.to_uppercase(),
            milli_cpu: cores * 1000,
            memory: gib * GIB,
            gpus: 0,
            gpu_type: None,
            price: None,
        };
        let types = vec![size("large", 8, 12), size("small", 2, 4)];
        Host { milli_cpu: 8000, memory: 14 * GIB, gpus: 0, gpu_type: None, types, whole: false }
    }

    fn has(id: &str, gib: u64) -> Compute {
        let reserved = Reserved { memory: gib * GIB, gpus: 0 };
        Compute { type_id: id.into(), type_name: id.to_uppercase(), reserved }
    }

    fn asks(gib: u64) -> Ask {
        Ask { milli_cpu: 1000, memory: gib * GIB, accelerator: None, instance_type: None }
    }

    #[test]
    fn the_environments_type_is_kept_with_what_is_reserved_of_it() {
        let kept = |own: &Compute, ask: &Ask, current: &Compute| host().kept(own, ask, current).unwrap();
        assert_eq!(kept(&has("small", 1), &asks(1), &has("small", 3)), None);
        assert_eq!(kept(&has("small", 1), &asks(1), &has("large", 5)), Some(has("large", 1)));
        assert_eq!(kept(&has("small", 1), &asks(1), &has("large", 12)), Some(has("large", 12)), "had whole");
        let named = Ask { instance_type: Some("small".into()), ..asks(2) };
        assert_eq!(kept(&has("small", 4), &named, &has("large", 5)), Some(has("large", 12)));
        assert_eq!(kept(&has("small", 1), &asks(1), &has("gone", 1)), None, "it is no longer offered");
        let gone = Ask { instance_type: Some("gone".into()), ..asks(2) };
        assert_eq!(kept(&has("gone", 16), &gone, &has("small", 1)), Some(has("small", 4)));
        // What was pushed before there were types has the first.
        assert_eq!(kept(&Compute::default(), &asks(1), &has("large", 5)), None);
        assert_eq!(kept(&has("small", 1), &asks(1), &Compute::default()), Some(has("large", 1)));
    }

    #[test]
    fn another_type_is_one_that_is_still_offered() {
        let host = host();
        let other = |own: &Compute, current: &Compute| host.other_type(own, current).map(|known| &*known.id);
        assert_eq!(other(&has("small", 1), &has("large", 5)), Some("large"));
        assert_eq!(other(&has("small", 1), &has("small", 3)), None);
        assert_eq!(other(&has("small", 1), &has("gone", 1)), None);
        assert_eq!(other(&has("small", 1), &Compute::default()), Some("large"));
        assert_eq!(other(&Compute::default(), &has("large", 5)), None);
    }

    #[test]
    fn what_does_not_fit_is_told_by_field_with_both_numbers() {
        let told = host().kept(&has("large", 6), &asks(6), &has("small", 1)).unwrap_err().join("; ");
        for word in ["resources.memory", "6 GiB", "4 GiB", "small"] {
            assert!(told.contains(word), "{word} in {told}");
        }
    }

    #[test]
    fn a_type_that_a_truss_names_is_asked_for_with_its_memory_and_its_cards() {
        let mut host = host();
        let small = host.types[1].clone();
        let cards = |id: &str, gpus: u32, kind: &str| InstanceType {
            id: id.into(),
            gpus,
            gpu_type: Some(kind.into()),
            ..small.clone()
        };
        host.gpus = 2;
        let types = [cards("one", 1, "NVIDIA L4"), cards("two", 2, "NVIDIA L4"), cards("hot", 2, "H100")];
        host.types.extend(types);
        // Memory of 2 GiB is what the client fills in, and no demand.
        let kept = |named: &str, current: &str| {
            let ask = Ask { instance_type: Some(named.into()), ..asks(2) };
            host.kept(&has(named, 1), &ask, &has(current, 1)).map(|size| size.unwrap().type_id)
        };
        assert_eq!(kept("one", "two"), Ok("two".into()));
        for (named, current, words) in [
            ("large", "small", ["resources.instance_type: large", "12 GiB", "4 GiB"]),
            ("LARGE", "one", ["resources.instance_type: large", "12 GiB", "4 GiB"]),
            ("one", "large", ["resources.instance_type: one", "1 × NVIDIA L4", "no GPU"]),
            ("two", "one", ["resources.instance_type: two", "2 × NVIDIA L4", "1 × NVIDIA L4"]),
            ("one", "hot", ["resources.instance_type: one", "1 × NVIDIA L4", "2 × H100"]),
        ] {
            let told = kept(named, current).unwrap_err().join("; ");
            for word in words {
                assert!(told.contains(word), "{word} in {told}");
            }
        }
    }
}
