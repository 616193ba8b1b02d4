/* wire/plant.h - places for planted bugs. RP_PLANT(name) is false, and nothing is left of it, except in the second
 * build of the library (RP_PLANTS) that the simulator is tested with: there it is true while that bug is switched on.
 * What they are called and what each does stands in tests/sim/plants.c. */
#ifndef RP_WIRE_PLANT_H
#define RP_WIRE_PLANT_H
#include <stdbool.h>

#ifdef RP_PLANTS
#define RP_PLANT(name)                                                                                                 \
    __extension__({                                                                                                    \
        extern bool rp_plant_##name;                                                                                   \
        rp_plant_##name;                                                                                               \
    })
#else
#define RP_PLANT(name) false
#endif

#endif
