use rundown::{Slot, Slots};

fn hold<S: Slots>(_: S) {}

static SLOTS: [Slot; 4] = [const { Slot::new() }; 4];

fn main() {
    // Two objects could share them.
    let slots: &'static [Slot] = &SLOTS;
    hold(slots);
}
