use rundown::Completion;

fn run(_: *mut ()) {}

fn main() {
    let completion = Completion::new(run, std::ptr::null_mut());
    drop(completion);
}
