/* Dark Room as one would write it in C for speed: the yardstick of vector_speed.py, and below it, with Q-learning in the
   same loop, that of q_learning_speed.py.

   The loop of the vector environment with NEXT_STEP, over rows of the same size and with the same random streams, so that
   both give the same observations, rewards and ends. It leaves out what the engine adds: it checks no action, has one
   episode a trial, and writes no flags but terminated and truncated. Nothing in the move branches on the action. */

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t seed, rng;
    int64_t trial;
    int32_t episode, t;
    uint32_t task;
    uint8_t over;
    int16_t x, y;
} world;

typedef struct {
    int16_t x, y;
} goal;

enum { UP = 1, RIGHT, DOWN, LEFT };
enum { TASK = 1, EPISODE, LEARNER };

static inline uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline uint64_t keyed(uint64_t seed, uint64_t purpose, uint64_t time, uint64_t part) {
    uint64_t z = mix(seed + 0x9E3779B97F4A7C15u * purpose);
    return mix(mix(z + 0xD1B54A32D192ED03u * time) + 0x8CB92BA72F3D8DD7u * part);
}

static inline int randint(uint64_t *rng, int n) {
    *rng += 0x9E3779B97F4A7C15u;
    return (int)(((mix(*rng) >> 32) * (uint64_t)n) >> 32);
}

static inline int clip(int value, int low, int high) {
    value = value < low ? low : value;
    return value > high ? high : value;
}

__attribute__((noinline)) static void begin(world *w, goal *g, int16_t *seen, int size) {
    w->trial++;
    w->episode = w->t = w->over = 0;
    w->rng = keyed(w->seed, TASK, (uint64_t)w->trial, 0);
    g->x = (int16_t)randint(&w->rng, size);
    g->y = (int16_t)randint(&w->rng, size);
    w->rng = keyed(w->seed, EPISODE, (uint64_t)w->trial, 0);
    seen[0] = seen[1] = w->x = w->y = (int16_t)(size / 2);
}

size_t world_bytes(void) { return sizeof(world); }

size_t goal_bytes(void) { return sizeof(goal); }

/* Row i, seeded seed + i. */
void reset(world *worlds, goal *goals, int16_t *seen, uint64_t seed, int size, ptrdiff_t rows) {
    for (ptrdiff_t i = 0; i < rows; i++) {
        worlds[i].seed = seed + (uint64_t)i;
        worlds[i].trial = -1;
        worlds[i].task = (uint32_t)i;
        begin(worlds + i, goals + i, seen + 2 * i, size);
    }
}

void step(world *restrict worlds, goal *restrict goals, const int64_t *restrict actions, int16_t *restrict seen,
          double *restrict rewards, uint8_t *restrict terminated, uint8_t *restrict truncated, int size, int horizon,
          ptrdiff_t rows) {
    for (ptrdiff_t i = 0; i < rows; i++) {
        world *w = worlds + i;
        goal *g = goals + w->task;
        terminated[i] = 0;
        if (w->over) {
            begin(w, g, seen + 2 * i, size);
            rewards[i] = 0;
            truncated[i] = 0;
            continue;
        }
        int x = clip(w->x + (actions[i] == RIGHT) - (actions[i] == LEFT), 0, size - 1);
        int y = clip(w->y + (actions[i] == DOWN) - (actions[i] == UP), 0, size - 1);
        seen[2 * i] = w->x = (int16_t)x;
        seen[2 * i + 1] = w->y = (int16_t)y;
        rewards[i] = (x == g->x) & (y == g->y);
        w->t++;
        truncated[i] = w->over = w->t >= horizon;
    }
}

/* ---- Q-learning fused with the rooms: the same learner, draws and sums as metarl_envs.learners.QLearning ---- */

enum { MOVES = 5 };

typedef struct {
    double step_size, discount, first_guess, epsilon, last_epsilon;
    int64_t exploring_episodes;
} hyper;

static inline double uniform(uint64_t *rng) {
    *rng += 0x9E3779B97F4A7C15u;
    return (double)(mix(*rng) >> 11) * (1.0 / 9007199254740992.0);
}

static inline int best_action(const double *q, uint64_t *rng) {
    double best = q[0];
    int ties = 1, choice = 0;
    for (int a = 1; a < MOVES; a++) {
        if (q[a] > best) {
            best = q[a];
            choice = a;
            ties = 1;
        } else if (q[a] == best) {
            ties++;
            if (randint(rng, ties) == 0) choice = a;
        }
    }
    return choice;
}

static inline double highest(const double *q) {
    double best = q[0];
    for (int a = 1; a < MOVES; a++) best = q[a] > best ? q[a] : best;
    return best;
}

/* Life i, seeded seeds[i], in the room with goal goals[i]; returns[i * episodes + e] is what episode e paid. `table` has room
   for one life: size * size cells of MOVES values. */
void q_learning(const goal *goals, const uint64_t *seeds, const hyper *h, double *restrict table, double *restrict returns,
                int size, int horizon, ptrdiff_t episodes, ptrdiff_t lives) {
    for (ptrdiff_t i = 0; i < lives; i++) {
        uint64_t rng = keyed(seeds[i], LEARNER, 0, 0);
        double epsilon = h->epsilon;
        for (ptrdiff_t k = 0; k < (ptrdiff_t)size * size * MOVES; k++) table[k] = h->first_guess;
        for (ptrdiff_t e = 0; e < episodes; e++) {
            int x = size / 2, y = size / 2;
            double total = 0, *here = table + (x * size + y) * MOVES;
            for (int t = 0; t < horizon; t++) {
                int action = uniform(&rng) < epsilon ? randint(&rng, MOVES) : best_action(here, &rng);
                x = clip(x + (action == RIGHT) - (action == LEFT), 0, size - 1);
                y = clip(y + (action == DOWN) - (action == UP), 0, size - 1);
                double reward = (x == goals[i].x) & (y == goals[i].y), *then = table + (x * size + y) * MOVES;
                here[action] += h->step_size * (reward + h->discount * highest(then) - here[action]);
                total += reward;
                here = then;
            }
            returns[i * episodes + e] = total;
            double left = 1.0 - (double)(e + 1) / (double)h->exploring_episodes;
            epsilon = h->last_epsilon + (h->epsilon - h->last_epsilon) * (left > 0.0 ? left : 0.0);
        }
    }
}
