/* sim/plants.h - planted bugs: see plants.c. */
#ifndef SIM_PLANTS_H
#define SIM_PLANTS_H
#include <stdbool.h>

void plants_list(void);                  /* a line each to stdout: name, what it does                            */
bool plants_switch_on(const char *name); /* false: there is none of that name. Without effect but in the second build */
void plants_hand_over(char **argv);      /* becomes the second build; returns in that one                        */

#endif
