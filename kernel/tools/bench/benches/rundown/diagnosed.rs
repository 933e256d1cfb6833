//! The variants once more, with the crate's feature `diagnosis`: another build of it, as
//! `kernel/tools/diagnosis` has it. Each acquire records its holder, each release takes it out.

use bench::{Contender, Group, Object};
use rundown_diagnosis::{
    CacheAwareRundown, HostPlatform, PerCpuRundown, PlainRundown, Rundown, Variant,
};

pub(crate) fn contenders() -> Vec<Contender> {
    let mut all = vec![
        row("PlainRundown, HostPlatform, diagnosis", || {
            guards(PlainRundown::<HostPlatform>::new())
        }),
        row("CacheAwareRundown, boxed, diagnosis", || {
            guards(CacheAwareRundown::<HostPlatform>::boxed(64))
        }),
    ];
    if HostPlatform::per_cpu().is_ok() {
        all.push(row("PerCpuRundown (rseq), diagnosis", || {
            guards(PerCpuRundown::<HostPlatform>::new().expect("few are in use"))
        }));
    }
    all
}

fn row(name: &'static str, object: fn() -> Object) -> Contender {
    Contender {
        name,
        group: Group::Diagnosis,
        memory: None,
        object,
    }
}

fn guards<V: Variant + 'static>(rundown: Rundown<V>) -> Object {
    let rundown = Box::new(rundown);
    Box::new(move |watch| {
        watch.pairs(|| drop(rundown.try_acquire().expect("open")));
    })
}
