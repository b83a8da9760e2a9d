//! Who may start now: admits replicas machine-wide, never more than there is room for (semantics: Instance types and room).

use std::collections::BTreeSet;

use crate::amount::memory_text;
use crate::status::count;
use crate::{DeploymentId, Host, Reserved, Timestamp};

/// Replicas that a plan asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceRequest {
    pub deployment: DeploymentId,
    pub count: u32,
    /// What each of them needs.
    pub needs: Reserved,
    /// Since when it has asked; who asked first is served first.
    pub since: Timestamp,
}

/// What one living replica holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    pub deployment: DeploymentId,
    pub reserved: Reserved,
}

/// Replicas that can't start now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub deployment: DeploymentId,
    pub count: u32,
    /// What they wait for, without a subject: `waiting for 4 GiB: 3 deployments hold it`.
    pub sentence: String,
}

/// What came of the requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// How many replicas of each deployment may start; those with none are left out.
    pub admitted: Vec<(DeploymentId, u32)>,
    pub refused: Vec<Refusal>,
}

/// Admits as many replicas as there is room for, in the order in which they were asked for.
///
/// Neither memory nor cards are given out twice. What fits starts, also while something larger that asked earlier waits.
/// What reserves nothing always fits.
pub fn place(requests: &[PlaceRequest], host: &Host, held: &[Holding]) -> Placement {
    let mut order: Vec<&PlaceRequest> = requests.iter().filter(|request| request.count > 0).collect();
    order.sort_by(|a, b| (a.since, &a.deployment).cmp(&(b.since, &b.deployment)));
    let mut held = held.to_vec();
    let mut placement = Placement::default();
    for request in order {
        let fits = room_for(request.needs, host, &held).min(request.count);
        if fits > 0 {
            placement.admitted.push((request.deployment.clone(), fits));
            let holding = Holding { deployment: request.deployment.clone(), reserved: request.needs };
            held.extend(std::iter::repeat_n(holding, fits as usize));
        }
        if fits < request.count {
            placement.refused.push(Refusal {
                deployment: request.deployment.clone(),
                count: request.count - fits,
                sentence: waiting(request.needs, host, &held),
            });
        }
    }
    placement
}

/// Bytes and cards that are not held.
pub fn free(host: &Host, held: &[Holding]) -> Reserved {
    let memory = held.iter().fold(0_u64, |sum, holding| sum.saturating_add(holding.reserved.memory));
    let gpus = held.iter().fold(0_u32, |sum, holding| sum.saturating_add(holding.reserved.gpus));
    Reserved { memory: host.memory.saturating_sub(memory), gpus: host.gpus.saturating_sub(gpus) }
}

/// How many replicas with these needs fit beside what is held.
fn room_for(needs: Reserved, host: &Host, held: &[Holding]) -> u32 {
    let free = free(host, held);
    let by_memory = free.memory.checked_div(needs.memory).unwrap_or(u64::MAX);
    let by_gpus = free.gpus.checked_div(needs.gpus).unwrap_or(u32::MAX);
    by_gpus.min(u32::try_from(by_memory).unwrap_or(u32::MAX))
}

/// What a replica with these needs waits for, and who has it.
fn waiting(needs: Reserved, host: &Host, held: &[Holding]) -> String {
    let free = free(host, held);
    let (memory, gpus) = (needs.memory > free.memory, needs.gpus > free.gpus);
    let gpu_text = count(needs.gpus, "GPU");
    let what = match (memory, gpus) {
        (true, true) => format!("{} and {gpu_text}", memory_text(needs.memory)),
        (true, false) => memory_text(needs.memory),
        _ => gpu_text,
    };
    if needs.memory > host.memory || needs.gpus > host.gpus {
        let has = match needs.memory > host.memory {
            true => memory_text(host.memory),
            false => count(host.gpus, "GPU"),
        };
        return format!("waiting for {what}: models may hold {has} on this machine");
    }
    let holds =
        |holding: &&Holding| (memory && holding.reserved.memory > 0) || (gpus && holding.reserved.gpus > 0);
    let holders: BTreeSet<&DeploymentId> =
        held.iter().filter(holds).map(|holding| &holding.deployment).collect();
    let verb = if holders.len() == 1 { "holds" } else { "hold" };
    format!("waiting for {what}: {} {verb} it", count(holders.len() as u32, "deployment"))
}

/// Whether deployments with so many replicas each could ever run at once; `Err` says what they need and what there is.
pub fn could_hold(host: &Host, peak: &[(Reserved, u32)]) -> Result<(), String> {
    let memory = peak
        .iter()
        .fold(0_u64, |sum, (each, n)| sum.saturating_add(each.memory.saturating_mul(u64::from(*n))));
    let gpus = peak.iter().fold(0_u32, |sum, (each, n)| sum.saturating_add(each.gpus.saturating_mul(*n)));
    if memory > host.memory {
        return Err(format!(
            "{}, and models may hold {} on this machine",
            memory_text(memory),
            memory_text(host.memory)
        ));
    }
    if gpus > host.gpus {
        return Err(format!("{}, and this machine has {}", count(gpus, "GPU"), host.gpus));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::GIB;

    fn host(gib: u64, gpus: u32) -> Host {
        Host { milli_cpu: 8000, memory: gib * GIB, gpus, gpu_type: None, types: Vec::new(), whole: true }
    }

    fn needs(gib: u64, gpus: u32) -> Reserved {
        Reserved { memory: gib * GIB, gpus }
    }

    fn request(name: &str, count: u32, needs: Reserved, since: i64) -> PlaceRequest {
        PlaceRequest {
            deployment: DeploymentId::new(name),
            count,
            needs,
            since: Timestamp::from_millis(since),
        }
    }

    fn holding(name: &str, reserved: Reserved) -> Holding {
        Holding { deployment: DeploymentId::new(name), reserved }
    }

    fn told(placement: &Placement) -> (Vec<(&str, u32)>, Vec<(&str, &str)>) {
        (
            placement.admitted.iter().map(|(id, n)| (id.as_str(), *n)).collect(),
            placement.refused.iter().map(|r| (r.deployment.as_str(), r.sentence.as_str())).collect(),
        )
    }

    #[test]
    fn who_asked_first_is_served_first_and_what_fits_starts() {
        let held = [holding("x", needs(4, 0)), holding("y", needs(4, 0)), holding("z", needs(4, 0))];
        let late = request("a", 1, needs(4, 0), 20);
        let early = request("b", 1, needs(4, 0), 10);
        let placement = place(&[late.clone(), early.clone()], &host(16, 0), &held);
        assert_eq!(
            told(&placement),
            (vec![("b", 1)], vec![("a", "waiting for 4 GiB: 4 deployments hold it")])
        );
        let large = request("b", 1, needs(8, 0), 10);
        let placement = place(&[late, large], &host(16, 0), &held);
        assert_eq!(
            told(&placement),
            (vec![("a", 1)], vec![("b", "waiting for 8 GiB: 3 deployments hold it")])
        );
    }

    #[test]
    fn sentences_name_what_lacks_and_who_has_it() {
        let one = [holding("x", needs(0, 2)), holding("y", needs(2, 0))];
        let table = [
            (needs(0, 1), "waiting for 1 GPU: 1 deployment holds it"),
            (needs(15, 0), "waiting for 15 GiB: 1 deployment holds it"),
            (needs(15, 2), "waiting for 15 GiB and 2 GPUs: 2 deployments hold it"),
            (needs(64, 0), "waiting for 64 GiB: models may hold 16 GiB on this machine"),
            (needs(1, 4), "waiting for 4 GPUs: models may hold 2 GPUs on this machine"),
        ];
        for (wanted, sentence) in table {
            let placement = place(&[request("a", 1, wanted, 0)], &host(16, 2), &one);
            assert_eq!(told(&placement), (vec![], vec![("a", sentence)]));
        }
    }

    #[test]
    fn what_reserves_nothing_always_fits() {
        let full = [holding("x", needs(16, 2))];
        let placement = place(&[request("a", 50, Reserved::default(), 0)], &host(16, 2), &full);
        assert_eq!(told(&placement), (vec![("a", 50)], vec![]));
    }

    #[test]
    fn a_peak_that_never_fits_is_told_with_both_numbers() {
        assert!(could_hold(&host(16, 1), &[(needs(4, 0), 2), (needs(8, 1), 1)]).is_ok());
        let told = could_hold(&host(16, 1), &[(needs(8, 0), 2), (needs(8, 0), 1)]).unwrap_err();
        assert_eq!(told, "24 GiB, and models may hold 16 GiB on this machine");
        let told = could_hold(&host(16, 1), &[(needs(1, 1), 2)]).unwrap_err();
        assert_eq!(told, "2 GPUs, and this machine has 1");
    }

    /// Numbers that look random and are the same each time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, n: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % n
        }
    }

    #[test]
    fn whatever_is_asked_nothing_is_given_twice_and_nothing_that_fits_waits() {
        let mut dice = Dice(7);
        for _ in 0..20_000 {
            let host = host(dice.below(33), dice.below(5) as u32);
            let held: Vec<Holding> = (0..dice.below(6))
                .map(|i| holding(&format!("h{i}"), needs(dice.below(9), dice.below(2) as u32)))
                .collect();
            let mut requests: Vec<PlaceRequest> = (0..dice.below(6))
                .map(|i| {
                    let needs = needs(dice.below(9), dice.below(3) as u32);
                    request(&format!("r{i}"), dice.below(4) as u32, needs, dice.below(3) as i64)
                })
                .collect();
            let placement = place(&requests, &host, &held);
            let of = |id: &DeploymentId| requests.iter().find(|request| &request.deployment == id).unwrap();
            let mut after = held.clone();
            for (id, n) in &placement.admitted {
                let each = Holding { deployment: id.clone(), reserved: of(id).needs };
                after.extend(std::iter::repeat_n(each, *n as usize));
            }
            let sum = |held: &[Holding]| {
                let memory: u64 = held.iter().map(|holding| holding.reserved.memory).sum();
                (memory, held.iter().map(|holding| holding.reserved.gpus).sum::<u32>())
            };
            let (before, then) = (sum(&held), sum(&after));
            assert!(then.0 <= host.memory.max(before.0), "memory is given out twice: {placement:?}");
            assert!(then.1 <= host.gpus.max(before.1), "cards are given out twice: {placement:?}");
            for refusal in &placement.refused {
                let needs = of(&refusal.deployment).needs;
                assert_eq!(room_for(needs, &host, &after), 0, "it would fit: {placement:?}");
                assert!(refusal.sentence.starts_with("waiting for "), "{}", refusal.sentence);
                assert!(refusal.sentence.contains(": "), "{}", refusal.sentence);
            }
            for request in &requests {
                let admitted: u32 = placement
                    .admitted
                    .iter()
                    .filter(|(id, _)| id == &request.deployment)
                    .map(|(_, n)| n)
                    .sum();
                let refused: u32 = placement
                    .refused
                    .iter()
                    .filter(|refusal| refusal.deployment == request.deployment)
                    .map(|refusal| refusal.count)
                    .sum();
                assert_eq!(admitted + refused, request.count, "each is admitted or refused");
            }
            requests.reverse();
            assert_eq!(place(&requests, &host, &held), placement, "the order of the list does not matter");
        }
    }
}
