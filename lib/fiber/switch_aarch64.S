/* fiber/switch_aarch64.S - switch.h for the procedure call standard of AArch64 (AAPCS64).
 *
 * Preserved are x19 to x28, the frame pointer x29, the link register x30 and the low halves of v8 to v15. A place is
 * the stack pointer of this frame, 160 bytes. */
#if defined(__aarch64__) && !defined(RP_UCONTEXT)
        .text

        .globl  rp_switch
        .hidden rp_switch
        .type   rp_switch, %function
        .p2align 4
rp_switch:
        .cfi_startproc
        sub     sp, sp, #160
        .cfi_adjust_cfa_offset 160
        stp     x29, x30, [sp, #0]
        .cfi_rel_offset x29, 0
        .cfi_rel_offset x30, 8
        stp     x19, x20, [sp, #16]
        .cfi_rel_offset x19, 16
        .cfi_rel_offset x20, 24
        stp     x21, x22, [sp, #32]
        .cfi_rel_offset x21, 32
        .cfi_rel_offset x22, 40
        stp     x23, x24, [sp, #48]
        .cfi_rel_offset x23, 48
        .cfi_rel_offset x24, 56
        stp     x25, x26, [sp, #64]
        .cfi_rel_offset x25, 64
        .cfi_rel_offset x26, 72
        stp     x27, x28, [sp, #80]
        .cfi_rel_offset x27, 80
        .cfi_rel_offset x28, 88
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]

        mov     x9, sp
        str     x9, [x0]
        mov     sp, x1

        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        ldp     x27, x28, [sp, #80]
        ldp     x25, x26, [sp, #64]
        ldp     x23, x24, [sp, #48]
        ldp     x21, x22, [sp, #32]
        ldp     x19, x20, [sp, #16]
        ldp     x29, x30, [sp, #0]
        add     sp, sp, #160
        .cfi_adjust_cfa_offset -160
        .cfi_restore x19
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore x29
        .cfi_restore x30
        ret
        .cfi_endproc
        .size   rp_switch, . - rp_switch

/* The frame that rp_switch will pop, under two words of zero. */
        .globl  rp_switch_prepare
        .hidden rp_switch_prepare
        .type   rp_switch_prepare, %function
        .p2align 4
rp_switch_prepare:
        .cfi_startproc
        add     x9, x0, x1
        and     x9, x9, #-16
        sub     x9, x9, #176
        adr     x10, first
        stp     xzr, x10, [x9, #0]      /* x29: nobody's, x30      */
        stp     x3, x2, [x9, #16]       /* x19: arg, x20: entry    */
        stp     xzr, xzr, [x9, #32]
        stp     xzr, xzr, [x9, #48]
        stp     xzr, xzr, [x9, #64]
        stp     xzr, xzr, [x9, #80]
        stp     xzr, xzr, [x9, #96]
        stp     xzr, xzr, [x9, #112]
        stp     xzr, xzr, [x9, #128]
        stp     xzr, xzr, [x9, #144]
        stp     xzr, xzr, [x9, #160]
        mov     x0, x9
        ret
        .cfi_endproc
        .size   rp_switch_prepare, . - rp_switch_prepare

/* The outermost frame: its caller is undefined, and there the backtraces stop. */
        .type   first, %function
        .p2align 4
first:
        .cfi_startproc
        .cfi_undefined x30
        mov     x0, x19
        blr     x20
        brk     #1
        .cfi_endproc
        .size   first, . - first
#endif
        .section .note.GNU-stack, "", %progbits
