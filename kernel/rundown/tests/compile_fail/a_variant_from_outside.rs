use rundown::Variant;

struct Mine;

impl Variant for Mine {}

fn main() {}
