package council

import (
	"container/heap"
	"time"
)

// queue is the idle members of a cohort by when they are due. A member that is not in it has place -1.
type queue struct{ members byDue }

// byDue implements heap.Interface.
type byDue []*member

func (q byDue) Len() int           { return len(q) }
func (q byDue) Less(i, j int) bool { return q[i].box.due < q[j].box.due }
func (q byDue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].box.place, q[j].box.place = i, j
}

func (q *byDue) Push(x any) {
	m := x.(*member)
	m.box.place = len(*q)
	*q = append(*q, m)
}

func (q *byDue) Pop() any {
	last := len(*q) - 1
	m := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	m.box.place = -1
	return m
}

// set puts m in, or moves it.
func (q *queue) set(m *member, due time.Duration) {
	m.box.due = due
	if m.box.place < 0 {
		heap.Push(&q.members, m)
	} else {
		heap.Fix(&q.members, m.box.place)
	}
}

func (q *queue) remove(m *member) {
	if m.box.place >= 0 {
		heap.Remove(&q.members, m.box.place)
	}
}

// next is when the first member is due.
func (q *queue) next() time.Duration {
	if len(q.members) == 0 {
		return never
	}
	return q.members[0].box.due
}
