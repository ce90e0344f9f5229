# SPDX-License-Identifier: MIT OR Apache-2.0
# The record of kernel/fork.o of Linux 7.3.4, with fewer dependencies; SRC is the tree.
savedcmd_kernel/fork.o := gcc -Wp,-MMD,kernel/.fork.o.d -nostdinc -ISRC/arch/x86/include -I./arch/x86/include/generated -ISRC/include -I./include -ISRC/arch/x86/include/uapi -I./arch/x86/include/generated/uapi -ISRC/include/uapi -I./include/generated/uapi -include SRC/include/linux/compiler-version.h -include SRC/include/linux/kconfig.h -include SRC/include/linux/compiler_types.h -D__KERNEL__ -fmacro-prefix-map=SRC/= -fshort-wchar -funsigned-char -fno-common -fno-PIE -fno-strict-aliasing -std=gnu11 -fms-extensions -mno-sse -mno-mmx -mno-sse2 -mno-3dnow -mno-avx -mno-sse4a -fcf-protection=none -m64 -falign-jumps=1 -falign-loops=1 -mno-80387 -mno-fp-ret-in-387 -mpreferred-stack-boundary=3 -mskip-rax-setup -march=x86-64 -mtune=generic -mno-red-zone -mcmodel=kernel -Wno-sign-compare -fno-asynchronous-unwind-tables -fno-delete-null-pointer-checks -O2 -fno-allow-store-data-races -fno-stack-protector -fno-omit-frame-pointer -fno-optimize-sibling-calls -ftrivial-auto-var-init=zero -fno-stack-clash-protection -pg -mrecord-mcount -mfentry -DCC_USING_FENTRY -falign-functions=16 -fno-strict-overflow -fno-stack-check -fconserve-stack -fno-builtin-wcslen -Wall -Wextra -Wundef -Werror=implicit-function-declaration -Werror=implicit-int -Werror=return-type -Werror=strict-prototypes -Wno-format-security -Wno-trigraphs -Wno-frame-address -Wno-address-of-packed-member -Wmissing-declarations -Wmissing-prototypes -Wframe-larger-than=1280 -Wno-main -Wno-type-limits -Wno-dangling-pointer -Wvla-larger-than=1 -Wno-pointer-sign -Wcast-function-type -Wno-array-bounds -Wno-stringop-overflow -Wno-alloc-size-larger-than -Wimplicit-fallthrough=5 -Werror=date-time -Werror=incompatible-pointer-types -Werror=designated-init -Wenum-conversion -Wunused -Wno-unused-but-set-variable -Wno-unused-const-variable -Wno-packed-not-aligned -Wno-format-overflow -Wno-format-truncation -Wno-stringop-truncation -Wno-override-init -Wno-missing-field-initializers -Wno-shift-negative-value -Wno-maybe-uninitialized -Wno-sign-compare -Wno-unused-parameter -ISRC/kernel -Ikernel    -DKBUILD_MODFILE='"kernel/fork"' -DKBUILD_BASENAME='"fork"' -DKBUILD_MODNAME='"fork"' -D__KBUILD_MODNAME=fork -c -o kernel/fork.o SRC/kernel/fork.c   ; ./tools/objtool/objtool --hacks=jump_label --hacks=noinstr --static-call --uaccess   kernel/fork.o

source_kernel/fork.o := SRC/kernel/fork.c

deps_kernel/fork.o := \
    $(wildcard include/config/USER_NS) \
    $(wildcard include/config/PROVE_RCU) \
    $(wildcard include/config/VMAP_STACK) \
    $(wildcard include/config/THREAD_INFO_IN_TASK) \
    $(wildcard include/config/SECCOMP) \
    $(wildcard include/config/MMU) \
    $(wildcard include/config/MM_ID) \
    $(wildcard include/config/TRANSPARENT_HUGEPAGE) \
    $(wildcard include/config/SPLIT_PMD_PTLOCKS) \
    $(wildcard include/config/MMU_LAZY_TLB_SHOOTDOWN) \
    $(wildcard include/config/DEBUG_VM_SHOOT_LAZIES) \
    $(wildcard include/config/ARCH_WANTS_DYNAMIC_TASK_STRUCT) \
    $(wildcard include/config/STACKPROTECTOR) \
    $(wildcard include/config/BLK_DEV_IO_TRACE) \
  arch/x86/include/generated/uapi/asm/types.h \
  include/generated/asm-offsets.h \
  arch/x86/include/generated/asm/rwonce.h \
  SRC/kernel/../mm/internal.h \
  SRC/kernel/../mm/vma.h \
  SRC/include/net/net_debug.h \
  SRC/include/net/netmem.h \
    $(wildcard include/config/NET_DEVMEM) \
  SRC/include/linux/seq_file_net.h \

kernel/fork.o: $(deps_kernel/fork.o)

$(deps_kernel/fork.o):

kernel/fork.o: $(wildcard ./tools/objtool/objtool)
