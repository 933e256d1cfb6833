//! A stick that a PC with UEFI boots from, and a kernel in the form in which it is on it.

use std::fs::File;
use std::io::{Cursor, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Error, anyhow, bail, ensure};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use gpt::{GptConfig, mbr::ProtectiveMBR, partition_types};
use object::elf::{PF_W, PF_X, PT_LOAD};
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{LittleEndian as Endian, Object, ObjectSection};

/// Where UEFI looks for what to boot from a stick (UEFI 2.10, 3.5.1.1).
pub const LOADER: &str = "EFI/BOOT/BOOTX64.EFI";

/// The options, beside the loader.
pub const OPTIONS: &str = "EFI/BOOT/options";

/// Bytes in a sector.
const SECTOR: u64 = 512;

/// The volume: the smallest that can be FAT32, which has at least 65,525 clusters (here sectors).
/// All firmware reads that; some has no other.
const VOLUME: usize = 34 << 20;

/// The stick: the volume from its first MiB on, and the second table of partitions.
const STICK: u64 = VOLUME as u64 + (2 << 20);

/// Writes the image of a stick: a partition table (GPT) and a volume (FAT32) with these files.
pub fn write(to: &Path, files: &[(&str, &[u8])]) -> anyhow::Result<()> {
    let write = || -> anyhow::Result<()> {
        let mut file =
            File::options().read(true).write(true).create(true).truncate(true).open(to)?;
        file.set_len(STICK)?;
        ProtectiveMBR::with_lb_size(u32::try_from(STICK / SECTOR - 1)?)
            .overwrite_lba0(&mut file)?;
        let mut disk = GptConfig::new().writable(true).create_from_device(file, None)?;
        let size = VOLUME as u64;
        let id =
            disk.add_partition("rundown", size, partition_types::EFI, 0, Some((1 << 20) / SECTOR))?;
        let start = disk.partitions()[&id].first_lba * SECTOR;
        let mut file = disk.write()?;
        // Pieces that are all zero are left out: most of them.
        const PIECE: usize = 1 << 16;
        for (index, piece) in volume(files)?.chunks(PIECE).enumerate() {
            if piece.iter().any(|&byte| byte != 0) {
                file.seek(SeekFrom::Start(start + (index * PIECE) as u64))?;
                file.write_all(piece)?;
            }
        }
        Ok(file.flush()?)
    };
    write().with_context(|| format!("cannot write {}", to.display()))
}

fn volume(files: &[(&str, &[u8])]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; VOLUME];
    let format = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(SECTOR as u32)
        .volume_label(*b"RUNDOWN    ");
    fatfs::format_volume(Cursor::new(&mut bytes[..]), format)?;
    let volume = FileSystem::new(Cursor::new(&mut bytes[..]), FsOptions::new())?;
    for (name, contents) in files {
        for (end, _) in name.match_indices('/') {
            // One that is there is as good as new.
            volume.root_dir().create_dir(&name[..end])?;
        }
        volume.root_dir().create_file(name)?.write_all(contents)?;
    }
    volume.unmount()?;
    Ok(bytes)
}

/// A kernel's ELF file as the loader for UEFI contains it: its segments' contents, from the first
/// address on, which is to be in a file of this name; and a `Kernel` (`boot/uefi/src/main.rs`), in
/// Rust, for a file beside that one.
pub(crate) fn flatten(elf: &[u8], name: &str) -> anyhow::Result<(Vec<u8>, String)> {
    const PAGE: u64 = 4096;
    let elf = ElfFile64::<Endian>::parse(elf)?;
    let config = elf.section_by_name(".bootloader-config");
    let config = config.context("no section .bootloader-config")?.data()?;
    let stack = handover::stack_size(config).map_err(Error::msg)?;
    let headers = elf.elf_program_headers().iter();
    let loaded = headers.filter(|header| header.p_type(Endian) == PT_LOAD);
    let start = loaded.clone().map(|header| header.p_vaddr(Endian)).min();
    let start = start.context("nothing to load")? & !(PAGE - 1);
    let (mut bytes, mut end, mut segments) = (Vec::new(), start, String::new());
    for header in loaded {
        let rights = match header.p_flags(Endian) & (PF_W | PF_X) {
            0 => "Read",
            PF_X => "Execute",
            PF_W => "Write",
            _ => bail!("a segment is writable and executable"),
        };
        let data = header.data(Endian, elf.data());
        let data = data.map_err(|()| anyhow!("a segment lies outside of it"))?;
        let (address, size) = (header.p_vaddr(Endian), header.p_memsz(Endian));
        ensure!(data.len() as u64 <= size, "a segment is cut");
        let at = usize::try_from(address - start)?;
        bytes.resize(bytes.len().max(at + data.len()), 0);
        bytes[at..][..data.len()].copy_from_slice(data);
        let pages = address & !(PAGE - 1)..(address + size).next_multiple_of(PAGE);
        end = end.max(pages.end);
        segments.push_str(&format!("({pages:#x?}, Rights::{rights}), "));
    }
    let kernel = format!(
        "Kernel {{ bytes: include_bytes!({name:?}), pages: {:#x?}, entry: {:#x}, stack: {stack}, segments: &[{segments}] }}",
        start..end,
        elf.entry()
    );
    Ok((bytes, kernel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_do_not_fit_are_an_error() {
        let image = tempfile::NamedTempFile::new().expect("temporary file");
        let error = write(image.path(), &[(LOADER, &vec![1; VOLUME])]).expect_err("too large");
        assert!(error.to_string().contains("cannot write"), "{error:#}");
    }
}
